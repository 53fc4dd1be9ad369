//! OpenAI's dialect: requests read, refused, edited and written; replies read.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};
use synapse_core::{
    Bytes, Content, Dialect, Edits, Error, ErrorKind, Event, FinishReason, Framing, Input, Message, Part,
    Prompt, Request, Retry, Task, Wire,
};
use synapse_http::{OpenAi, dialect::openai};

fn wire(task: &Task, body: impl Into<Bytes>) -> Wire {
    let path = OpenAi::path(task).unwrap();
    Wire::new(
        OpenAi::DIALECT,
        path,
        HeaderValue::from_static("application/json"),
        body,
    )
}

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

#[test]
fn edits_replace_what_is_there_and_insert_what_is_not() {
    let check = |task: Task, body: &str, edit: fn(&mut Input) -> Result<(), Error>, expect: &str| {
        let mut input = Input::from_wire(task.clone(), wire(&task, body.to_owned()));
        edit(&mut input).unwrap();
        assert_eq!(input.wire_for(OpenAi::DIALECT).unwrap().body(), expect);
    };
    let cap = |input: &mut Input| input.set_max_tokens(7);
    let model = |input: &mut Input| input.set_model("a \"b\"");
    let top = |input: &mut Input| input.request_logprobs(3);
    let messages = r#""messages":[{"role":"user"}]"#;
    check(
        Task::CHAT,
        &format!(r#"{{{messages}}}"#),
        cap,
        &format!(r#"{{"max_tokens":7,{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#" {{ "max_tokens" : null , {messages}}} "#),
        cap,
        &format!(r#" {{ "max_tokens" : 7 , {messages}}} "#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{"max_completion_tokens":9,{messages}}}"#),
        cap,
        &format!(r#"{{"max_completion_tokens":7,{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{{messages},"max_tokens":9,"max_completion_tokens":9}}"#),
        cap,
        &format!(r#"{{{messages},"max_tokens":7,"max_completion_tokens":7}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{"model":"\u0061",{messages}}}"#),
        model,
        &format!(r#"{{"model":"a \"b\"",{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{{messages},"logprobs":false}}"#),
        top,
        &format!(r#"{{"top_logprobs":3,{messages},"logprobs":true}}"#),
    );
    check(
        Task::TEXT_COMPLETION,
        r#"{"prompt":"a"}"#,
        top,
        r#"{"logprobs":3,"prompt":"a"}"#,
    );
    let mut input = Input::from_wire(Task::EMBEDDINGS, wire(&Task::EMBEDDINGS, r#"{"input":"a"}"#));
    input.set_max_tokens(7).unwrap();
    assert_eq!(
        input.wire_for(OpenAi::DIALECT).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn a_field_that_is_given_twice_is_not_written() {
    let mut request = Request::new("m", Prompt::Messages(vec![Message::user("hi")]));
    request.other.insert("temperature".into(), 1.into());
    let error = OpenAi.render(&Task::CHAT, &request).unwrap_err();
    assert_eq!(
        (error.code(), error.param()),
        ("duplicate_field", Some("temperature"))
    );
    assert_eq!(
        OpenAi.render(&Task::EMBEDDINGS, &request).unwrap_err().code(),
        "prompt_unsupported"
    );
    assert_eq!(
        OpenAi.render(&Task::RERANK, &request).unwrap_err().code(),
        "task_unsupported"
    );
}

#[test]
fn content_types_decide_the_framing() {
    let framing = |name: &'static str| OpenAi.framing(Some(&HeaderValue::from_static(name)));
    assert_eq!(framing("Text/Event-Stream; charset=utf-8"), Framing::Sse);
    assert_eq!(framing("application/json"), Framing::Whole);
    assert_eq!(framing("application/x-ndjson"), Framing::Lines);
    assert_eq!(framing("audio/mpeg"), Framing::Unframed);
    assert_eq!(OpenAi.framing(None), Framing::Unframed);
}

#[test]
fn events_are_what_they_say() {
    let name = |raw: &[u8], framing: Framing| match OpenAi.event(&Bytes::copy_from_slice(raw), framing) {
        Event::Data => "data".to_owned(),
        Event::Last => "last".to_owned(),
        Event::Comment => "comment".to_owned(),
        Event::Control { name, payload } => format!("control {name} {}", String::from_utf8_lossy(&payload)),
        Event::Failed(error) => format!("{:?} {}", error.kind(), error.code()),
        other => format!("{other:?}"),
    };
    let sse = |raw: &str, expect: &str| assert_eq!(name(raw.as_bytes(), Framing::Sse), expect, "{raw:?}");
    sse("data: {\"a\":1}\n\n", "data");
    sse("data:{\"a\":\ndata: 1}\r\n\r\n", "data");
    sse("id: 4\nevent: delta\ndata: {}\r\r", "data");
    sse("data: [DONE]\n\n", "last");
    sse(": ping\n\n", "comment");
    sse("event: ping\n\n", "comment");
    sse("data:\n\n", "comment");
    sse("data: {\"error\":null}\n\n", "data");
    sse("data: {\"a\":{\"error\":1}}\n\n", "data");
    sse("data: {\n\n", "Broken invalid_event");
    sse("data: [1]\n\n", "Broken invalid_event");
    sse(
        "data: {\"error\":{\"message\":\"no\"}}\n\n",
        "Broken upstream_failed",
    );
    sse("data: {\"err\\u006fr\":\"no\"}\n\n", "Broken upstream_failed");
    sse("event: error\ndata: it burns\n\n", "Broken upstream_failed");
    sse(
        "event: synapse.commitment\ndata: ab\ndata: cd\n\n",
        "control commitment ab\ncd",
    );
    assert_eq!(name(b"data: \"\xff\"\n\n", Framing::Sse), "Broken invalid_event");
    assert_eq!(name(b"{\"choices\":[]}", Framing::Whole), "last");
    assert_eq!(name(b"{\"choices\":[", Framing::Whole), "Broken invalid_reply");
    assert_eq!(
        name(b"{\"error\":{\"code\":\"x\"}}", Framing::Whole),
        "Broken upstream_failed"
    );
    assert_eq!(name(b"{}\n", Framing::Lines), "data");
    let control = openai::control_event("progress", b"a\nb");
    assert_eq!(name(&control, Framing::Sse), "control progress a\nb");
    let control = openai::control_event("a\r\ndata: b", b"x\ry\r\nz\r\rdata: {}\n");
    assert_eq!(
        name(&control, Framing::Sse),
        "control adata: b x\ny\nz\n\ndata: {}\n",
        "nothing in it is an event, or a line, of its own"
    );
}

#[test]
fn an_error_of_ours_survives_a_hop() {
    let check = |sent: Error, kind: ErrorKind, retry: Retry| {
        let Event::Failed(back) = OpenAi.event(&openai::error_event(&sent), Framing::Sse) else {
            panic!("{sent} was not read as an error")
        };
        assert_eq!((back.kind(), back.retry()), (kind, retry), "{sent:?}");
        assert_eq!(
            (back.code(), back.message(), back.hint()),
            (sent.code(), sent.message(), sent.hint())
        );
        assert_eq!(back.param(), sent.param());
    };
    check(Error::model_not_found("x"), ErrorKind::NotFound, Retry::Never);
    check(
        Error::invalid("a", "b").with_param("c"),
        ErrorKind::Invalid,
        Retry::Never,
    );
    check(
        Error::internal("a", "b").with_retry(Retry::Never),
        ErrorKind::Internal,
        Retry::Never,
    );
    check(
        Error::new(ErrorKind::RateLimited, "a", "b"),
        ErrorKind::Overloaded,
        Retry::Elsewhere,
    );
    check(
        Error::new(ErrorKind::Unauthenticated, "a", "b"),
        ErrorKind::Unavailable,
        Retry::Elsewhere,
    );
    let busy = Error::new(ErrorKind::Overloaded, "queue_full", "full")
        .with_retry(Retry::After(std::time::Duration::from_millis(1500)));
    check(busy.clone(), ErrorKind::Overloaded, Retry::Elsewhere);
    let Event::Failed(back) = OpenAi.event(&openai::error_event(&busy), Framing::Sse) else {
        panic!()
    };
    assert_eq!(synapse_http::status::retry_after(&back).unwrap(), "2");
}

#[test]
fn replies_of_every_shape_are_read() {
    let deltas = |json: Value| {
        OpenAi
            .deltas(json.to_string().as_bytes(), Framing::Whole)
            .unwrap()
    };
    let event = |json: Value| {
        OpenAi
            .deltas(format!("data: {json}\n\n").as_bytes(), Framing::Sse)
            .unwrap()
    };

    let role = &event(
        json!({"choices":[{"index":1,"delta":{"role":"assistant","content":""},"finish_reason":null}]}),
    )[0];
    assert_eq!(
        (role.index, role.role.as_deref(), role.has_content()),
        (1, Some("assistant"), false)
    );
    let logprobs = json!({"content":[{"token":"é","logprob":-0.5,"bytes":[195,169],"id":7,
        "top_logprobs":[{"token":"�","logprob":-1.0,"bytes":[195]}]}]});
    let said =
        &event(json!({"choices":[{"index":0,"delta":{"content":"é"},"logprobs":logprobs}],"usage":null}))[0];
    assert_eq!(
        (said.text.as_str(), said.tokens[0].id, said.usage),
        ("é", Some(7), None)
    );
    assert_eq!(
        said.tokens[0].logprobs.as_ref().unwrap().top[0].bytes,
        &b"\xc3"[..]
    );
    let calls = json!([{"index":2,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]);
    let call = &event(json!({"choices":[{"delta":{"tool_calls":calls}}]}))[0].tool_calls[0];
    assert_eq!(
        (call.index, call.name.as_deref(), call.arguments.as_str()),
        (2, Some("f"), "{")
    );
    let counted =
        event(json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}));
    assert_eq!(counted[0].usage.unwrap().total(), 7);

    let whole = deltas(json!({"choices":[
        {"index":0,"message":{"role":"assistant","content":"a","reasoning":"r"},"finish_reason":"stop"},
        {"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}}]},
         "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}));
    assert_eq!((whole[0].text.as_str(), whole[0].reasoning.as_str()), ("a", "r"));
    assert_eq!(whole[1].finish_reason, Some(FinishReason::ToolCalls));
    assert!(whole[0].usage.is_none() && whole[1].usage.is_some());

    let parallel = json!({"tokens":[" a","bytes:\\xe2\\x82"],"token_logprobs":[null,-1.5],
        "top_logprobs":[null,{"x":-2.0,"y":-1.0}],"text_offset":[0,2],"token_ids":[4,5]});
    let text =
        &deltas(json!({"choices":[{"text":" a","index":0,"logprobs":parallel,"finish_reason":"length"}]}))[0];
    assert_eq!(text.tokens[1].bytes, &b"\xe2\x82"[..]);
    assert!(text.tokens[0].logprobs.is_none());
    assert_eq!(text.tokens[1].logprobs.as_ref().unwrap().top[0].bytes, "y");

    let vectors = deltas(json!({"object":"list","data":[
        {"index":0,"embedding":[0.5,-1.0]},{"index":1,"embedding":"AAAAPwAAgL8="}],"usage":{"prompt_tokens":2,"total_tokens":2}}));
    assert_eq!(vectors[0].embedding, vectors[1].embedding);
    assert_eq!(vectors[1].usage.unwrap().output_tokens, 0);
    assert!(deltas(json!({"data":[{"id":"a-model"}]})).is_empty());
    assert!(
        OpenAi
            .deltas(b"data: [DONE]\n\n", Framing::Sse)
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        OpenAi
            .deltas(b"{\"choices\":3}", Framing::Whole)
            .unwrap_err()
            .kind(),
        ErrorKind::Broken
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn fields() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    prop::collection::btree_map("x_[a-z\"é]{1,6}", json_value(), 0..4)
        .prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn message()(role in "[a-z]{1,8}", content in prop_oneof![
        Just(Content::None),
        "\\PC{0,20}".prop_map(Content::Text),
        prop::collection::vec(prop_oneof![
            "\\PC{0,8}".prop_map(Part::Text),
            Just(Part::Other(json!({"type":"image_url","image_url":{"url":"é"}}))),
        ], 0..3).prop_map(Content::Parts),
    ], other in fields()) -> Message {
        let mut message = Message::with_content(role, content);
        message.other = other;
        message
    }
}

prop_compose! {
    fn request()(
        model in "\\PC{0,8}",
        messages in prop::collection::vec(message(), 1..4),
        other in fields(),
        tools in prop::option::of(json_value()),
        max_tokens in prop::option::of(1_u32..),
        temperature in prop::option::of(0.0_f32..=2.0),
        top_p in prop::option::of(0.001_f32..=1.0),
        penalty in prop::option::of(-2.0_f32..=2.0),
        seed in prop::option::of(any::<i64>()),
        stop in prop::collection::vec("\\PC{1,5}", 0..4),
        n in 1_u32..=128,
        top in prop::option::of(0_u8..=20),
        (logprobs, stream, usage) in any::<(bool, bool, bool)>(),
    ) -> Request {
        let mut request = Request::new(model, Prompt::Messages(messages)).with_params(|params| {
            params.max_tokens = max_tokens;
            params.temperature = temperature;
            params.top_p = top_p;
            params.frequency_penalty = penalty;
            params.presence_penalty = penalty;
            params.seed = seed;
            params.stop = stop;
            params.n = n;
            params.logprobs = logprobs;
            params.top_logprobs = top.filter(|_| logprobs);
            params.stream = stream;
            params.include_usage = stream && usage;
        });
        request.other = other;
        request.other.extend(tools.map(|tools| ("tools".to_owned(), tools)));
        request
    }
}

fn read(wire: &Wire) -> Request {
    let view = OpenAi.view(&Task::CHAT, wire).unwrap();
    OpenAi.request(&Task::CHAT, wire, &view).unwrap()
}

proptest! {
    #[test]
    fn a_request_is_written_and_read_without_loss(request in request()) {
        let wire = OpenAi.render(&Task::CHAT, &request).unwrap();
        prop_assert_eq!(read(&wire), request);
    }

    #[test]
    fn an_edit_is_seen_in_the_view_and_touches_nothing_else(
        request in request(),
        model in prop::option::of("\\PC{1,8}"),
        max_tokens in prop::option::of(1_u32..),
        top in prop::option::of(0_u8..=20),
        pretty in any::<bool>(),
    ) {
        let rendered = OpenAi.render(&Task::CHAT, &request).unwrap();
        let rendered = match pretty {
            false => rendered,
            true => {
                let value: Value = serde_json::from_slice(rendered.body()).unwrap();
                rendered.with_body(serde_json::to_vec_pretty(&value).unwrap().into())
            }
        };
        let view = OpenAi.view(&Task::CHAT, &rendered).unwrap();
        let mut edits = Edits::default();
        edits.model = model;
        edits.max_tokens = max_tokens;
        edits.top_logprobs = top;
        let spliced = rendered.with_body(OpenAi.splice(&Task::CHAT, &rendered, &view, &edits).unwrap());

        let mut expect = request;
        if let Some(model) = edits.model { expect.model = model; }
        if max_tokens.is_some() { expect.params.max_tokens = max_tokens; }
        if top.is_some() {
            expect.params.logprobs = true;
            expect.params.top_logprobs = top;
        }
        prop_assert_eq!(read(&spliced), expect);

        // Every field that was not edited has the same bytes as before.
        let after = OpenAi.view(&Task::CHAT, &spliced).unwrap();
        let edited = ["model", "max_tokens", "logprobs", "top_logprobs"];
        for name in ["messages", "tools", "temperature", "top_p", "seed", "stop", "n", "stream"] {
            let bytes = |wire: &Wire, view: &synapse_core::View| view.field(name).map(|range| wire.body().slice(range));
            prop_assert!(!edited.contains(&name));
            prop_assert_eq!(bytes(&rendered, &view), bytes(&spliced, &after));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_refused_not_panicked_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for task in [Task::CHAT, Task::TEXT_COMPLETION, Task::EMBEDDINGS] {
            prop_assert!(OpenAi.view(&task, &wire(&task, bytes.clone())).is_err());
        }
        for framing in [Framing::Sse, Framing::Lines, Framing::Whole] {
            let _ = OpenAi.event(&bytes, framing);
            let _ = OpenAi.deltas(&bytes, framing);
        }
    }

    #[test]
    fn a_mangled_request_never_panics(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = OpenAi.render(&Task::CHAT, &request).unwrap().body().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let wire = wire(&Task::CHAT, body);
        if let Ok(view) = OpenAi.view(&Task::CHAT, &wire) {
            let _ = OpenAi.request(&Task::CHAT, &wire, &view);
        }
    }
}
