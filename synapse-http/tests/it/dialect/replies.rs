//! Replies, read.

use http::HeaderValue;
use serde_json::{Value, json};
use synapse_core::{Bytes, Dialect, Error, ErrorKind, Event, FinishReason, Framing, Retry};
use synapse_http::{OpenAi, dialect::openai};

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

    let refused = &event(json!({"choices":[{"delta":{"content":"","refusal":"I cannot."}}]}))[0];
    assert_eq!(refused.text, "I cannot.");
    let older = &event(json!({"choices":[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]}))[0];
    assert_eq!(older.tool_calls[0].name.as_deref(), Some("f"));

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
