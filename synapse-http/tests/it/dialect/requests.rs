//! Requests, read and refused.

use synapse_core::{Bytes, Content, Dialect, Error, ErrorKind, Input, Part, Prompt, Retry, Task};
use synapse_http::OpenAi;

use super::wire;

fn refused(task: &Task, body: impl Into<Bytes>) -> Error {
    let body = body.into();
    let wire = wire(task, body.clone());
    match OpenAi.view(task, &wire) {
        Ok(view) => panic!("{body:?} was let through as {view:?}"),
        Err(error) => error,
    }
}

/// Chat with `fields` beside a model and a message.
fn chat(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#)
}

#[test]
fn bad_bodies_are_refused_with_a_code_and_the_field() {
    let check = |body: &str, code: &str, param: Option<&str>| {
        let error = refused(&Task::CHAT, body.to_owned());
        assert_eq!((error.code(), error.param()), (code, param), "{body}: {error}");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Invalid, Retry::Never),
            "{body}"
        );
        assert!(error.to_string().len() < 700, "{error}");
    };
    for body in [
        "",
        "{",
        "hello",
        "\u{feff}{}",
        "{} {}",
        r#"{"model":NaN}"#,
        r#"{"a":1,}"#,
        "{\"a\":\"\u{1}\"}",
    ] {
        check(body, "invalid_json", None);
    }
    for body in ["[]", "3", r#""text""#, "null", "true", "-1"] {
        check(body, "invalid_type", None);
    }
    check(&"[".repeat(100_000), "too_deep", None);
    check(
        &chat(&format!(r#","metadata":{}1{}"#, "[".repeat(128), "]".repeat(128))),
        "too_deep",
        None,
    );
    check(r#"{"model":"m"}"#, "missing_field", Some("messages"));
    check(
        r#"{"model":"m","messages":null}"#,
        "missing_field",
        Some("messages"),
    );
    check(
        r#"{"model":7,"messages":[{"role":"user"}]}"#,
        "invalid_type",
        Some("model"),
    );
    check(r#"{"messages":[]}"#, "empty_messages", Some("messages"));
    check(r#"{"messages":"hi"}"#, "invalid_type", Some("messages"));
    check(r#"{"messages":["hi"]}"#, "invalid_type", Some("messages[0]"));
    check(
        r#"{"messages":[{"content":"hi"}]}"#,
        "missing_field",
        Some("messages[0].role"),
    );
    check(
        r#"{"messages":[{"role":""}]}"#,
        "out_of_range",
        Some("messages[0].role"),
    );
    check(
        r#"{"messages":[{"role":"a"},{"role":4}]}"#,
        "invalid_type",
        Some("messages[1].role"),
    );
    check(
        r#"{"messages":[{"role":"a","content":4}]}"#,
        "invalid_type",
        Some("messages[0].content"),
    );
    check(
        r#"{"messages":[{"role":"a","content":[{"type":"text","text":4}]}]}"#,
        "invalid_type",
        Some("messages[0].content[0].text"),
    );
    check(
        r#"{"messages":[{"role":"a","content":[4]}]}"#,
        "invalid_type",
        Some("messages[0].content[0]"),
    );
    check(
        r#"{"messages":[{"role":"a","content":[{}]}]}"#,
        "missing_field",
        Some("messages[0].content[0].type"),
    );
    for (fields, code, param) in [
        (r#","max_tokens":-1"#, "out_of_range", "max_tokens"),
        (r#","max_tokens":0"#, "out_of_range", "max_tokens"),
        (r#","max_tokens":1.5"#, "out_of_range", "max_tokens"),
        (r#","max_tokens":1e30"#, "out_of_range", "max_tokens"),
        (r#","max_tokens":4294967296"#, "out_of_range", "max_tokens"),
        (r#","max_tokens":"12""#, "invalid_type", "max_tokens"),
        (
            r#","max_completion_tokens":99999999999999999999"#,
            "out_of_range",
            "max_completion_tokens",
        ),
        (
            r#","max_tokens":1,"max_completion_tokens":2"#,
            "conflicting_fields",
            "max_completion_tokens",
        ),
        (r#","temperature":2.1"#, "out_of_range", "temperature"),
        (r#","temperature":-0.1"#, "out_of_range", "temperature"),
        (r#","temperature":1e999"#, "out_of_range", "temperature"),
        (r#","temperature":[1]"#, "invalid_type", "temperature"),
        (r#","top_p":0"#, "out_of_range", "top_p"),
        (r#","top_p":1e-60"#, "out_of_range", "top_p"),
        (r#","presence_penalty":3"#, "out_of_range", "presence_penalty"),
        (r#","n":0"#, "out_of_range", "n"),
        (r#","n":129"#, "out_of_range", "n"),
        (r#","seed":1.5"#, "out_of_range", "seed"),
        (r#","stop":["#, "invalid_json", ""),
        (r#","stop":"""#, "out_of_range", "stop"),
        (r#","stop":[1]"#, "invalid_type", "stop"),
        (r#","stream":"true""#, "invalid_type", "stream"),
        (r#","stream_options":{}"#, "conflicting_fields", "stream_options"),
        (
            r#","stream":true,"stream_options":{"include_usage":1}"#,
            "invalid_type",
            "stream_options.include_usage",
        ),
        (r#","logprobs":5"#, "invalid_type", "logprobs"),
        (r#","top_logprobs":5"#, "conflicting_fields", "top_logprobs"),
        (
            r#","logprobs":true,"top_logprobs":21"#,
            "out_of_range",
            "top_logprobs",
        ),
    ] {
        check(&chat(fields), code, Some(param).filter(|param| !param.is_empty()));
    }
    let long = refused(
        &Task::CHAT,
        chat(&format!(r#","temperature":"{}""#, "é".repeat(5000))),
    );
    assert!(long.message().chars().count() < 250, "{long}");
    assert_eq!(
        refused(&Task::CHAT, &b"{\"model\":\"\xff\"}"[..]).code(),
        "invalid_json"
    );
}

#[test]
fn a_known_key_twice_or_in_another_case_is_refused_where_the_dialect_defines_it() {
    let check = |body: String, code: &str, param: &str| {
        let error = refused(&Task::CHAT, body);
        assert_eq!((error.code(), error.param()), (code, Some(param)), "{error}");
    };
    check(
        chat(r#","max_tokens":1,"max_tokens":1"#),
        "duplicate_field",
        "max_tokens",
    );
    check(chat(r#","mod\u0065l":"other""#), "duplicate_field", "model");
    check(chat(r#","MAX_TOKENS":1"#), "miscased_field", "max_tokens");
    check(chat(r#","Model":"other""#), "miscased_field", "model");
    check(chat(r#","meſſages":[]"#), "miscased_field", "messages");
    check(chat(r#","max_to\u212aens":1"#), "miscased_field", "max_tokens");
    check(chat(r#","tools":[],"tools":[]"#), "duplicate_field", "tools");
    check(
        chat(r#","stream":true,"stream_options":{"Include_Usage":true}"#),
        "miscased_field",
        "stream_options.include_usage",
    );
    check(
        r#"{"messages":[{"role":"a","role":"b"}]}"#.into(),
        "duplicate_field",
        "messages[0].role",
    );
    check(
        r#"{"messages":[{"role":"a","content":[{"type":"text","Text":"x","text":"y"}]}]}"#.into(),
        "miscased_field",
        "messages[0].content[0].text",
    );
}

#[test]
fn schemas_metadata_arguments_and_unknown_fields_are_nobodys_business() {
    let odd = r#"{"Model":1,"model":2,"model":3,"MAX_TOKENS":"x"}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"function":{{"Name":1,"name":2,"name":3}}}}]}}],
        "tools":[{odd}],"response_format":{odd},"metadata":{odd},"logit_bias":{odd},"unheard_of":{odd},"unheard_of":{odd},
        "prompt":4,"Unheard":1e999}}"#
    );
    let view = OpenAi.view(&Task::CHAT, &wire(&Task::CHAT, body)).unwrap();
    assert_eq!(view.model(), Some("m"));
    // 128 levels pass, one more does not.
    let deep = chat(&format!(r#","metadata":{}1{}"#, "[".repeat(127), "]".repeat(127)));
    let deep = wire(&Task::CHAT, deep);
    let view = OpenAi.view(&Task::CHAT, &deep).unwrap();
    OpenAi.request(&Task::CHAT, &deep, &view).unwrap();
}

#[test]
fn null_is_absent_and_ranges_point_at_values() {
    let body =
        chat(r#", "max_tokens" : null,"stop":null,"stream_options":null,"temperature": 0.5 ,"top_p":1"#);
    let view = OpenAi
        .view(&Task::CHAT, &wire(&Task::CHAT, body.clone()))
        .unwrap();
    assert_eq!(view.params().max_tokens, None);
    assert_eq!(view.params().temperature, Some(0.5));
    assert_eq!(&body[view.field("temperature").unwrap()], "0.5");
    assert_eq!(&body[view.field("max_tokens").unwrap()], "null");
    assert_eq!(&body[view.field("model").unwrap()], r#""m""#);
    assert!(view.field("n").is_none());
}

#[test]
fn texts_and_tokens_are_read_and_checked() {
    let check = |input: &str, expect: Prompt| {
        let wire = wire(
            &Task::EMBEDDINGS,
            format!(r#"{{"model":"m","input":{input},"dimensions":3}}"#),
        );
        let view = OpenAi.view(&Task::EMBEDDINGS, &wire).unwrap();
        let request = OpenAi.request(&Task::EMBEDDINGS, &wire, &view).unwrap();
        assert_eq!(request.prompt, expect);
        assert_eq!(request.other["dimensions"], 3);
    };
    check(r#""a\u0062""#, Prompt::Texts(vec!["ab".into()]));
    check(r#"["a","b"]"#, Prompt::Texts(vec!["a".into(), "b".into()]));
    check("[1,2]", Prompt::Tokens(vec![vec![1, 2]]));
    check("[[1],[2,3]]", Prompt::Tokens(vec![vec![1], vec![2, 3]]));
    for (input, code) in [
        (r#""""#, "empty_input"),
        ("[]", "empty_input"),
        ("[[]]", "empty_input"),
        (r#"["a",1]"#, "invalid_type"),
        ("[1.5]", "invalid_type"),
        ("[-1]", "invalid_type"),
        ("[null]", "invalid_type"),
        ("{}", "invalid_type"),
    ] {
        let error = refused(&Task::EMBEDDINGS, format!(r#"{{"input":{input}}}"#));
        assert_eq!(error.code(), code, "{input}: {error}");
    }
    assert_eq!(
        refused(&Task::EMBEDDINGS, r#"{"input":"a","encoding_format":"hex"}"#).param(),
        Some("encoding_format")
    );
    assert_eq!(
        refused(&Task::TEXT_COMPLETION, r#"{"prompt":"a","logprobs":true}"#).param(),
        Some("logprobs")
    );
}

#[test]
fn a_text_part_stays_text_whatever_else_it_carries() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{}},{"type":"image_url","image_url":{"url":"x"}}]}]}"#;
    let input = Input::from_wire(Task::CHAT, wire(&Task::CHAT, body));
    let request = input.request().unwrap();
    let Content::Parts(parts) = &request.messages()[0].content else {
        panic!("no parts")
    };
    assert_eq!(parts[0], Part::Text("a".into()));
    assert!(matches!(&parts[1], Part::Other(part) if part["type"] == "image_url"));
}
