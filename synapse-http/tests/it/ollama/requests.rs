//! Requests, read, refused and edited.

use synapse_core::{Dialect, ErrorKind, Input, Prompt, Task};
use synapse_http::Ollama;

use super::{chat, input, wire};

#[test]
fn bad_bodies_are_refused_with_a_code_and_the_field() {
    let check = |path: &str, body: &str, code: &str, param: Option<&str>| {
        let error = input(path, body.to_owned()).expect_err(body);
        assert_eq!((error.code(), error.param()), (code, param), "{body}: {error}");
        assert!(error.kind().is_callers_fault(), "{error:?}");
        assert!(error.to_string().len() < 700, "{error}");
    };
    let on_chat =
        |fields: &str, code: &str, param: &str| check("/api/chat", &chat(fields), code, Some(param));
    for body in ["", "{", "{} {}", r#"{"a":1,}"#] {
        check("/api/chat", body, "invalid_json", None);
        check("/api/generate", body, "invalid_json", None);
    }
    check("/api/embed", "[]", "invalid_type", None);
    check("/api/chat", &"[".repeat(100_000), "too_deep", None);
    check("/api/pull", "{}", "path_unsupported", None);
    on_chat(r#","model":"n""#, "duplicate_field", "model");
    on_chat(r#","Stream":false"#, "miscased_field", "stream");
    on_chat(
        r#","options":{"num_predict":1,"num_predict":2}"#,
        "duplicate_field",
        "options.num_predict",
    );
    on_chat(
        r#","options":{"NUM_PREDICT":9}"#,
        "miscased_field",
        "options.num_predict",
    );
    on_chat(
        r#","options":{"temperature":"hot"}"#,
        "invalid_type",
        "options.temperature",
    );
    on_chat(
        r#","options":{"temperature":3}"#,
        "out_of_range",
        "options.temperature",
    );
    on_chat(
        r#","options":{"num_predict":1e99}"#,
        "out_of_range",
        "options.num_predict",
    );
    on_chat(r#","options":[]"#, "invalid_type", "options");
    on_chat(r#","stream":"yes""#, "invalid_type", "stream");
    on_chat(r#","format":"xml""#, "out_of_range", "format");
    on_chat(r#","think":"hard""#, "out_of_range", "think");
    on_chat(r#","think":1"#, "invalid_type", "think");
    on_chat(r#","tools":{}"#, "invalid_type", "tools");
    on_chat(r#","keep_alive":[]"#, "invalid_type", "keep_alive");
    on_chat(r#","top_logprobs":21"#, "out_of_range", "top_logprobs");
    on_chat(
        r#","_debug_render_only":true"#,
        "field_unsupported",
        "_debug_render_only",
    );
    check("/api/chat", r#"{"model":"m"}"#, "missing_field", Some("messages"));
    check(
        "/api/chat",
        r#"{"messages":[]}"#,
        "empty_messages",
        Some("messages"),
    );
    check(
        "/api/chat",
        r#"{"messages":[{"content":"x"}]}"#,
        "missing_field",
        Some("messages[0].role"),
    );
    check(
        "/api/chat",
        r#"{"messages":[{"role":"user","Content":"x"}]}"#,
        "miscased_field",
        Some("messages[0].content"),
    );
    check(
        "/api/chat",
        r#"{"messages":[{"role":"user","images":["a",1]}]}"#,
        "invalid_type",
        Some("messages[0].images"),
    );
    check(
        "/api/chat",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}"#,
        "missing_field",
        Some("messages[0].tool_calls[0].function"),
    );
    let called = |function: &str| {
        format!(r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"function":{function}}}]}}]}}"#)
    };
    let arguments = Some("messages[0].tool_calls[0].function.arguments");
    check(
        "/api/chat",
        &called(r#"{"arguments":"{}"}"#),
        "invalid_type",
        arguments,
    );
    check(
        "/api/chat",
        &called(r#"{"Arguments":{}}"#),
        "miscased_field",
        arguments,
    );
    check(
        "/api/generate",
        r#"{"prompt":""}"#,
        "empty_prompt",
        Some("prompt"),
    );
    check(
        "/api/generate",
        r#"{"model":"m"}"#,
        "missing_field",
        Some("prompt"),
    );
    check(
        "/api/generate",
        r#"{"prompt":"x","context":[1,2]}"#,
        "field_unsupported",
        Some("context"),
    );
    check(
        "/api/generate",
        r#"{"prompt":"x","template":"{{ .System }}"}"#,
        "field_unsupported",
        Some("template"),
    );
    check(
        "/api/generate",
        r#"{"prompt":"x","raw":true,"system":"s"}"#,
        "conflicting_fields",
        Some("system"),
    );
    check("/api/embed", r#"{"input":[]}"#, "empty_input", Some("input"));
    check(
        "/api/embed",
        r#"{"input":["a",2]}"#,
        "invalid_type",
        Some("input"),
    );
    check(
        "/api/embeddings",
        r#"{"prompt":""}"#,
        "empty_input",
        Some("prompt"),
    );
}

#[test]
fn what_is_asked_for_is_read_from_path_and_body() {
    let check = |path: &str, body: &str, task: Task| {
        assert_eq!(
            *input(path, body.to_owned()).unwrap().task(),
            task,
            "{path} {body}"
        );
    };
    check("/api/chat", &chat(""), Task::CHAT);
    check(
        "/api/generate",
        r#"{"prompt":"x","suffix":"","raw":null,"system":"s"}"#,
        Task::CHAT,
    );
    check(
        "/api/generate",
        r#"{"prompt":"x","raw":true}"#,
        Task::TEXT_COMPLETION,
    );
    check(
        "/api/generate",
        r#"{"prompt":"x","suffix":"y"}"#,
        Task::TEXT_COMPLETION,
    );
    check("/api/embed", r#"{"input":"x"}"#, Task::EMBEDDINGS);
    check("/api/embeddings", r#"{"prompt":"x"}"#, Task::EMBEDDINGS);
    let mismatch = Ollama.view(
        &Task::CHAT,
        &wire("/api/generate", r#"{"prompt":"x","raw":true}"#),
    );
    assert_eq!(mismatch.unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn sampling_is_read_from_options_and_streaming_is_the_default() {
    let read = input(
        "/api/chat",
        chat(
            r#","options":{"num_predict":7,"temperature":0.5,"top_p":0.9,"top_k":3,"min_p":0.1,"seed":-4,"stop":["a"],"num_ctx":99},
            "logprobs":true,"top_logprobs":2"#,
        ),
    )
    .unwrap();
    let params = read.params().unwrap();
    assert_eq!(
        (params.max_tokens, params.temperature, params.top_k),
        (Some(7), Some(0.5), Some(3))
    );
    assert_eq!((params.seed, &params.stop), (Some(-4), &vec!["a".to_owned()]));
    assert_eq!((params.logprobs, params.top_logprobs), (true, Some(2)));
    assert!(params.stream && params.include_usage);
    for (fields, cap) in [("-1", None), ("0", None), ("-2", None), ("5", Some(5))] {
        let body = chat(&format!(
            r#","stream":false,"options":{{"num_predict":{fields}}}"#
        ));
        let read = input("/api/chat", body).unwrap();
        assert_eq!(
            (read.max_tokens().unwrap(), read.wants_stream().unwrap()),
            (cap, false)
        );
    }
    let without = input("/api/chat", chat(r#","top_logprobs":3"#)).unwrap();
    assert_eq!(without.params().unwrap().top_logprobs, None);
}

#[test]
fn edits_change_their_values_and_nothing_else() {
    let check = |before: &str, after: &str, edit: fn(&mut Input)| {
        let mut edited = input("/api/chat", chat(before)).unwrap();
        edit(&mut edited);
        let sent = edited.wire_for(Ollama::DIALECT).unwrap();
        assert_eq!(sent.body(), after, "{before}");
        assert_eq!(sent.path(), "/api/chat");
        edited.wire_for(Ollama::DIALECT).unwrap();
    };
    let cap: fn(&mut Input) = |input| input.set_max_tokens(9).unwrap();
    let plain = chat("");
    let rest = &plain[1..];
    check("", &format!(r#"{{"options":{{"num_predict":9}},{rest}"#), cap);
    check(
        r#","options":null"#,
        &chat(r#","options":{"num_predict":9}"#),
        cap,
    );
    check(
        r#","options":{ }"#,
        &chat(r#","options":{"num_predict":9 }"#),
        cap,
    );
    check(
        r#","options":{"a":1}"#,
        &chat(r#","options":{"num_predict":9,"a":1}"#),
        cap,
    );
    check(
        r#","options":{"a":1, "num_predict": -1 }"#,
        &chat(r#","options":{"a":1, "num_predict": 9 }"#),
        cap,
    );
    check(
        r#","top_logprobs":1,"logprobs":false"#,
        &chat(r#","top_logprobs":4,"logprobs":true"#),
        |input| {
            input.request_logprobs(4).unwrap();
        },
    );
    check("", &plain.replace("\"m\"", "\"n\\\"\""), |input| {
        input.set_model("n\"").unwrap();
    });
    check(
        r#","unknown":{"A":[1, 2 ]}"#,
        &chat(r#","unknown":{"A":[1, 2 ]}"#),
        |_| {},
    );
    let mut vectors = input("/api/embed", r#"{"input":"x"}"#).unwrap();
    vectors.set_max_tokens(1).unwrap();
    assert_eq!(
        vectors.wire_for(Ollama::DIALECT).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn how_long_a_model_stays_loaded_is_not_passed_on() {
    let wishes = input("/api/chat", chat(r#","keep_alive":-1"#)).unwrap();
    let sent = Ollama::without_keep_alive(&wishes).unwrap().unwrap();
    assert_eq!(sent.body(), &chat(r#","keep_alive":null"#));
    let plain = input("/api/chat", chat("")).unwrap();
    assert!(Ollama::without_keep_alive(&plain).unwrap().is_none());
}

#[test]
fn a_prompt_is_a_conversation_of_one_message() {
    let read = input(
        "/api/generate",
        r#"{"model":"m","system":"be brief","prompt":"what is it","images":["iVBORw0KGgoAAA"]}"#,
    )
    .unwrap();
    let request = read.request().unwrap();
    let Prompt::Messages(messages) = &request.prompt else {
        panic!("{request:?}");
    };
    assert_eq!(messages[0].role, "system");
    assert_eq!(messages[1].role, "user");
    let raw = input("/api/generate", r#"{"model":"m","prompt":"It was","raw":true}"#).unwrap();
    assert_eq!(
        raw.request().unwrap().prompt,
        Prompt::Texts(vec!["It was".to_owned()])
    );
}
