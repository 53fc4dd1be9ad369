//! One format as the other: what both can say arrives, and the rest is named.

use http::HeaderValue;
use serde_json::{Value, json};
use synapse_core::{Error, ErrorKind, Input, Task, Wire};
use synapse_http::{Ollama, OpenAi};

use super::in_openai;

/// `body` for `task` in OpenAI's format, as Ollama's says it.
fn in_ollama(task: Task, body: &Value) -> Result<Value, Error> {
    let path = OpenAi::path(&task).unwrap();
    let json = HeaderValue::from_static("application/json");
    let input = Input::from_wire(task, Wire::new(OpenAi::DIALECT, path, json, body.to_string()));
    let sent = input.wire_for(Ollama::DIALECT)?;
    Ok(serde_json::from_slice(sent.body()).unwrap())
}

#[test]
fn a_conversation_says_the_same_in_both() {
    let ollamas = json!({
        "model": "m",
        "stream": false,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "what is it", "images": ["iVBORw0KGgoAAA"]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"id": "call_7", "function": {"index": 0, "name": "look", "arguments": {"at": "it", "n": 2}}},
            ]},
            {"role": "tool", "content": "a cat", "tool_name": "look", "tool_call_id": "call_7"},
        ],
        "options": {"num_predict": 9, "temperature": 0.5, "seed": 7, "stop": ["."], "repeat_penalty": 1.1},
        "format": {"type": "object"},
        "think": "high",
        "logprobs": true,
        "top_logprobs": 2,
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    });
    let openais = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is it"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAA"}},
            ]},
            {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                {"id": "call_7", "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"it\",\"n\":2}"}},
            ]},
            {"role": "tool", "content": "a cat", "name": "look", "tool_call_id": "call_7"},
        ],
        "max_tokens": 9, "temperature": 0.5, "seed": 7, "stop": ["."],
        "repetition_penalty": 1.1, "repeat_penalty": 1.1,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "reply", "strict": true, "schema": {"type": "object"},
        }},
        "reasoning_effort": "high",
        "logprobs": true,
        "top_logprobs": 2,
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    });
    assert_eq!(in_openai("/api/chat", &ollamas).unwrap(), openais);
    assert_eq!(in_ollama(Task::CHAT, &openais).unwrap(), ollamas);
}

#[test]
fn prompts_and_embeddings_say_the_same_in_both() {
    let ollamas = json!({"model": "m", "prompt": "It was", "raw": true, "stream": true});
    let openais = json!({
        "model": "m", "prompt": "It was", "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(in_openai("/api/generate", &ollamas).unwrap(), openais);
    assert_eq!(in_ollama(Task::TEXT_COMPLETION, &openais).unwrap(), ollamas);
    let gap = json!({"model": "m", "prompt": "fn main", "suffix": "}", "stream": false});
    assert_eq!(
        in_openai("/api/generate", &gap).unwrap(),
        json!({"model": "m", "prompt": "fn main", "suffix": "}"}),
    );
    let vectors = json!({"model": "m", "input": ["a", "b"], "dimensions": 8});
    assert_eq!(in_openai("/api/embed", &vectors).unwrap(), vectors);
    assert_eq!(in_ollama(Task::EMBEDDINGS, &vectors).unwrap(), vectors);
    let old = json!({"model": "m", "prompt": "a"});
    assert_eq!(
        in_openai("/api/embeddings", &old).unwrap(),
        json!({"model": "m", "input": "a"})
    );
}

#[test]
fn results_find_their_calls_where_nobody_numbered_them() {
    let messages = json!([
        {"role": "assistant", "tool_calls": [
            {"function": {"name": "a", "arguments": {}}},
            {"function": {"name": "b", "arguments": {}}},
        ]},
        {"role": "tool", "tool_name": "b", "content": "2"},
        {"role": "tool", "content": "1"},
    ]);
    let sent = in_openai("/api/chat", &json!({"model": "m", "messages": messages})).unwrap();
    assert_eq!(sent["messages"][0]["tool_calls"][1]["id"], "call_1");
    assert_eq!(sent["messages"][1]["tool_call_id"], "call_1");
    assert_eq!(sent["messages"][2]["tool_call_id"], "call_0");

    let messages = json!([
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "a", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
    ]);
    let sent = in_ollama(Task::CHAT, &json!({"model": "m", "messages": messages})).unwrap();
    assert_eq!(sent["messages"][1]["tool_name"], "a");
}

#[test]
fn what_ollama_cannot_say_is_named_or_does_not_matter() {
    let with = |field: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        in_ollama(Task::CHAT, &body)
    };
    for (field, value) in [
        ("n", json!(2)),
        ("logit_bias", json!({"7": 1})),
        ("tool_choice", json!("required")),
        (
            "tool_choice",
            json!({"type": "function", "function": {"name": "f"}}),
        ),
        ("parallel_tool_calls", json!(false)),
        ("reasoning_effort", json!("minimal")),
        ("response_format", json!({"type": "grammar"})),
        ("modalities", json!(["audio"])),
        ("functions", json!([{"name": "f"}])),
        ("guided_regex", json!("a+")),
    ] {
        let error = with(field, value).expect_err(field);
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unsupported, "field_unsupported")
        );
        assert_eq!(error.param(), Some(field), "{error}");
        assert!(error.hint().is_some());
    }
    for (field, value) in [
        ("user", json!("u")),
        ("metadata", json!({"a": "b"})),
        ("store", json!(true)),
        ("service_tier", json!("auto")),
        ("logit_bias", json!({})),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(true)),
        ("modalities", json!(["text"])),
        ("tools", json!([])),
    ] {
        let sent = with(field, value).unwrap();
        assert!(sent.as_object().unwrap().len() <= 4, "{field}: {sent}");
    }
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let body = json!({
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools, "tool_choice": "none",
    });
    assert_eq!(in_ollama(Task::CHAT, &body).unwrap().get("tools"), None);
}

#[test]
fn content_that_ollama_cannot_hold_is_named() {
    let with = |part: Value| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
        in_ollama(Task::CHAT, &body).unwrap_err()
    };
    let remote = with(json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}));
    assert_eq!(
        (remote.code(), remote.param()),
        ("remote_image", Some("messages[0].content[0]"))
    );
    let audio = with(json!({"type": "input_audio", "input_audio": {"data": ""}}));
    assert_eq!(audio.code(), "content_unsupported");
    let called = json!({"model": "m", "messages": [{"role": "assistant", "content": null, "tool_calls": [
        {"id": "x", "type": "function", "function": {"name": "a", "arguments": "not json"}},
    ]}]});
    assert_eq!(
        in_ollama(Task::CHAT, &called).unwrap_err().code(),
        "invalid_arguments"
    );
    let tokens = json!({"model": "m", "prompt": [1, 2]});
    let error = in_ollama(Task::TEXT_COMPLETION, &tokens).unwrap_err();
    assert_eq!(error.code(), "prompt_unsupported");
}

#[test]
fn what_openai_cannot_say_is_named_or_does_not_matter() {
    let with = |field: &str, value: Value| {
        let mut body =
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": false});
        body[field] = value;
        in_openai("/api/chat", &body)
    };
    for (field, value, param) in [
        ("options", json!({"mirostat": 2}), "options.mirostat"),
        (
            "options",
            json!({"typical_p": 0.5, "num_ctx": 9}),
            "options.typical_p",
        ),
        ("width", json!(64), "width"),
    ] {
        let error = with(field, value).expect_err(field);
        assert_eq!(
            (error.kind(), error.param()),
            (ErrorKind::Unsupported, Some(param))
        );
    }
    let plain = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (field, value) in [
        ("options", json!({"num_ctx": 2048, "num_thread": 1, "num_gpu": 0})),
        ("keep_alive", json!("5m")),
        ("truncate", json!(false)),
        ("shift", json!(true)),
        ("format", json!("")),
        ("tools", json!([])),
    ] {
        assert_eq!(with(field, value).unwrap(), plain, "{field}");
    }
    assert_eq!(
        with("format", json!("json")).unwrap()["response_format"]["type"],
        "json_object"
    );
    for (think, effort) in [
        (json!(true), "medium"),
        (json!(false), "none"),
        (json!("low"), "low"),
    ] {
        assert_eq!(with("think", think).unwrap()["reasoning_effort"], effort);
    }
    // Kept apart, and back where it came from.
    let request = super::input("/api/chat", super::chat(r#","options":{"mirostat":2}"#)).unwrap();
    let request = Input::from_request(Task::CHAT, request.request().unwrap().into_owned());
    let sent = request.wire_for(Ollama::DIALECT).unwrap();
    let sent: Value = serde_json::from_slice(sent.body()).unwrap();
    assert_eq!(sent["options"]["mirostat"], 2);
}
