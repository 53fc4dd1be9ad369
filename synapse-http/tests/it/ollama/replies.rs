//! Replies, read and written.

use serde_json::Value;
use synapse_core::{
    Bytes, Chunk, Delta, Dialect, Error, ErrorKind, Event, FinishReason, Framing, Logprobs, Retry, Token,
    ToolCall, Usage,
};
use synapse_http::{
    Ollama,
    dialect::ollama::{ReplyShape, control_line, error_line},
};

use super::{chat, input};

fn read(line: &'static str) -> Vec<Delta> {
    Ollama.deltas(line.as_bytes(), Framing::Lines).unwrap()
}

fn stream(body: String, deltas: &[Delta]) -> Vec<Value> {
    let mut writer = ReplyShape::of(&input("/api/chat", body).unwrap())
        .unwrap()
        .stream();
    let mut out = Vec::new();
    for delta in deltas {
        out.extend_from_slice(&writer.event(delta));
    }
    out.extend_from_slice(&writer.finish().unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn lines_say_what_they_are() {
    let name = |line: &'static str, framing| match Ollama.event(&Bytes::from_static(line.as_bytes()), framing)
    {
        Event::Data => "data",
        Event::Last => "last",
        Event::Failed(_) => "failed",
        Event::Comment => "comment",
        _ => "other",
    };
    assert_eq!(name("{\"done\":false}\n", Framing::Lines), "data");
    assert_eq!(name(" {\"done\":true}\n", Framing::Lines), "last");
    assert_eq!(name("{\"embeddings\":[]}", Framing::Whole), "last");
    assert_eq!(name("{\"error\":\"no\"}\n", Framing::Lines), "failed");
    assert_eq!(name("{\"error\":\"no\"}", Framing::Whole), "failed");
    assert_eq!(name("{\"error\":null,\"done\":false}\n", Framing::Lines), "data");
    assert_eq!(name("nonsense\n", Framing::Lines), "failed");
    assert_eq!(name("[1]", Framing::Whole), "failed");
    assert_eq!(name("{\"synapse\":3}", Framing::Whole), "last");
    assert_eq!(name("{\"synapse\":3}\n", Framing::Lines), "comment");
    let control = Ollama.event(&control_line("progress", b"a\nb"), Framing::Lines);
    assert!(matches!(control, Event::Control { name, payload } if name == "progress" && payload == "a\nb"));
}

#[test]
fn an_error_of_ours_survives_a_line() {
    let sent = Error::new(ErrorKind::Overloaded, "queue_full", "the queue is full")
        .with_hint("come back")
        .with_retry(Retry::Elsewhere);
    let Event::Failed(back) = Ollama.event(&error_line(&sent), Framing::Lines) else {
        panic!("an error");
    };
    assert_eq!(
        (back.kind(), back.code(), back.retry()),
        (sent.kind(), sent.code(), sent.retry())
    );
    assert_eq!(back.to_string(), sent.to_string());
}

#[test]
fn lines_are_read() {
    let said =
        &read(r#"{"model":"m","message":{"role":"assistant","content":"Red","thinking":"hm"},"done":false}"#)
            [0];
    assert_eq!(
        (said.text.as_str(), said.reasoning.as_str(), said.usage),
        ("Red", "hm", None)
    );
    let token = &read(
        r#"{"response":"é","done":false,"logprobs":[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"e","logprob":-1}]}]}"#,
    )[0];
    assert_eq!(token.text, "é");
    assert_eq!(token.tokens[0].bytes, "é");
    assert_eq!(&*token.tokens[0].logprobs.as_ref().unwrap().top[0].bytes, b"e");
    let call = &read(
        r#"{"message":{"role":"assistant","content":"","tool_calls":[{"id":"c","function":{"index":1,"name":"f","arguments":{"a": 1}}}]},"done":false}"#,
    )[0];
    assert_eq!(call.tool_calls, [ToolCall::new(1, "c", "f", r#"{"a": 1}"#)]);
    let end = &read(
        r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","prompt_eval_count":3,"eval_count":4}"#,
    )[0];
    assert_eq!(end.finish_reason, Some(FinishReason::Length));
    assert_eq!(
        end.usage,
        Some(Usage {
            input_tokens: 3,
            output_tokens: 4
        })
    );
    let vectors = read(r#"{"model":"m","embeddings":[[1,2],[3,4]],"prompt_eval_count":2}"#);
    assert_eq!(vectors[1].embedding.as_deref(), Some(&[3.0, 4.0][..]));
    assert_eq!((vectors[1].index, vectors[1].usage.unwrap().input_tokens), (1, 2));
    assert_eq!(
        read(r#"{"embedding":[1.5]}"#)[0].embedding.as_deref(),
        Some(&[1.5][..])
    );
    let wrong = Ollama.deltas(br#"{"message":3}"#, Framing::Lines).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Broken);
    let chunk = Chunk::read("{\"done\":true}\n".into(), Ollama::DIALECT, Framing::Lines)
        .unwrap()
        .unwrap();
    assert_eq!(
        (chunk.is_last(), chunk.dialect().map(Dialect::name)),
        (true, Some("ollama"))
    );
}

#[test]
fn a_stream_is_written_as_ollama_writes_it() {
    let token = Token::new(7, "Red").with_logprobs(Logprobs::new(-0.5, Vec::new()));
    let part = |index, id: Option<&str>, text: &str| {
        let mut call = ToolCall::new(index, "", "f", text);
        call.id = id.map(str::to_owned);
        call.name = id.map(|_| "f".to_owned());
        Delta::tool_call(call)
    };
    let usage = Usage {
        input_tokens: 5,
        output_tokens: 2,
    };
    let lines = stream(
        chat(r#","logprobs":true"#),
        &[
            Delta::text("Red").with_tokens(vec![token]),
            part(0, Some("c"), "{\"a\":"),
            part(0, None, "\n1}"),
            Delta::finish(FinishReason::ToolCalls),
            Delta::default().with_usage(usage),
        ],
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0]["message"]["content"], "Red");
    assert_eq!(
        lines[0]["logprobs"][0]["bytes"],
        serde_json::json!([82, 101, 100])
    );
    assert_eq!(lines[0]["logprobs"][0].get("id"), None);
    assert_eq!(
        (&lines[0]["done"], lines[0].get("done_reason")),
        (&Value::Bool(false), None)
    );
    assert_eq!(
        lines[1]["message"]["tool_calls"][0]["function"]["arguments"]["a"],
        1
    );
    let last = &lines[2];
    assert_eq!(
        (&last["done"], last["done_reason"].as_str()),
        (&Value::Bool(true), Some("stop"))
    );
    assert_eq!(
        (last["prompt_eval_count"].as_u64(), last["eval_count"].as_u64()),
        (Some(5), Some(2))
    );
    assert!(last["total_duration"].is_u64() && last["created_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn arguments_that_are_no_object_break_the_reply() {
    let shape = ReplyShape::of(&input("/api/chat", chat("")).unwrap()).unwrap();
    let mut whole = shape.whole();
    whole.push(&Delta::tool_call(ToolCall::new(0, "c", "f", "[1")));
    let error = whole.finish().unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Broken, "invalid_arguments")
    );
}

#[test]
fn calls_without_end_are_not_kept() {
    let mut writer = ReplyShape::of(&input("/api/chat", chat("")).unwrap())
        .unwrap()
        .stream();
    let mut call = ToolCall::default();
    call.arguments = "x".repeat(1 << 20);
    let mut delta = Delta::default();
    delta.tool_calls = vec![call];
    for _ in 0..17 {
        assert!(writer.event(&delta).is_empty());
    }
    let error = writer.finish().unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Broken, "calls_too_large")
    );
}
