//! Replies of modules in Rust, as OpenAI writes them.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};
use synapse_core::{
    Alternative, Bytes, Delta, Dialect, FinishReason, Framing, Input, Logprobs, Message, Prompt, Request,
    Task, Token, ToolCall, Usage, Wire,
};
use synapse_http::{
    OpenAi,
    dialect::openai::ReplyShape,
    sse::{Framer, Limits, Rest},
};

fn shape(input: &Input) -> ReplyShape {
    ReplyShape::of(input, "7").unwrap().with_created(1_700_000_000)
}

fn chat(edit: impl FnOnce(&mut synapse_core::Params)) -> ReplyShape {
    let prompt = Prompt::Messages(vec![Message::user("hi")]);
    shape(&Input::from_request(
        Task::CHAT,
        Request::new("m", prompt).with_params(edit),
    ))
}

fn completion(top: Option<u8>) -> ReplyShape {
    let request = Request::new("m", Prompt::Texts(vec!["hi".into()])).with_params(|params| {
        params.logprobs = top.is_some();
        params.top_logprobs = top;
    });
    shape(&Input::from_request(Task::TEXT_COMPLETION, request))
}

fn usage() -> Usage {
    Usage {
        input_tokens: 3,
        output_tokens: 2,
    }
}

fn said() -> [Delta; 3] {
    [
        Delta::text("Red"),
        Delta::text("!"),
        Delta::finish(FinishReason::Stop).with_usage(usage()),
    ]
}

/// The data of each event of a stream; the last must be `[DONE]`.
fn stream(shape: ReplyShape, deltas: &[Delta]) -> Vec<Value> {
    let mut writer = shape.stream();
    let mut bytes: Vec<u8> = deltas.iter().flat_map(|delta| writer.event(delta)).collect();
    bytes.extend_from_slice(&writer.finish());
    let text = String::from_utf8(bytes).unwrap();
    let events = text.strip_suffix("data: [DONE]\n\n").unwrap();
    events
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn whole(shape: ReplyShape, deltas: &[Delta]) -> Value {
    let mut writer = shape.whole();
    deltas.iter().for_each(|delta| writer.push(delta));
    serde_json::from_slice(&writer.finish()).unwrap()
}

#[test]
fn a_chat_stream_begins_with_the_role_and_ends_with_the_reason() {
    let event = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]})
    };
    let mut expect = vec![
        event(json!({"role": "assistant", "content": ""}), Value::Null),
        event(json!({"content": "Red"}), Value::Null),
        event(json!({"content": "!"}), Value::Null),
        event(json!({}), json!("stop")),
    ];
    assert_eq!(stream(chat(|_| {}), &said()), expect);
    for event in &mut expect {
        event["usage"] = Value::Null;
    }
    expect.push(
        json!({"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
        "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}),
    );
    let counted = chat(|params| (params.stream, params.include_usage) = (true, true));
    assert_eq!(stream(counted, &said()), expect);
    // Content and reason in one delta are two events.
    let mut both = Delta::text("Red");
    both.finish_reason = Some(FinishReason::Length);
    assert_eq!(stream(chat(|_| {}), &[both]).len(), 3);
}

#[test]
fn a_whole_chat_reply_is_its_deltas_together() {
    assert_eq!(
        whole(chat(|_| {}), &said()),
        json!({"id": "chatcmpl-7", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Red!", "refusal": null},
                "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    );
}

#[test]
fn a_reason_that_nobody_gave_is_null() {
    let document = whole(chat(|_| {}), &[Delta::text("Red")]);
    assert_eq!(document["choices"][0]["finish_reason"], Value::Null);
}

#[test]
fn tool_calls_come_in_pieces_and_are_put_together() {
    let piece = |id: Option<&str>, name: Option<&str>, arguments: &str| {
        let mut call = ToolCall::default();
        (call.id, call.name, call.arguments) = (id.map(Into::into), name.map(Into::into), arguments.into());
        let mut delta = Delta::default();
        delta.tool_calls = vec![call];
        delta
    };
    let deltas = [
        piece(Some("c1"), Some("paint"), ""),
        piece(None, None, "{\"colour\":"),
        piece(None, None, "\"red\"}"),
        Delta::finish(FinishReason::ToolCalls),
    ];
    let events = stream(chat(|_| {}), &deltas);
    assert_eq!(
        events[1]["choices"][0]["delta"],
        json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "paint", "arguments": ""}}]})
    );
    assert_eq!(
        events[2]["choices"][0]["delta"],
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"colour\":"}}]})
    );
    let message = &whole(chat(|_| {}), &deltas)["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(
        message["tool_calls"],
        json!([{"id": "c1", "type": "function", "function": {"name": "paint", "arguments": "{\"colour\":\"red\"}"}}])
    );
}

/// A token of text, and one that is a part of a character.
fn tokens() -> Vec<Token> {
    vec![
        Token::new(4, "é").with_logprobs(Logprobs::new(
            -0.5,
            vec![
                Alternative::new(4, "é", -0.5),
                Alternative::new(5, &b"\xc3"[..], -1.0),
            ],
        )),
        Token::new(6, &b"\xe2\x82"[..]).with_logprobs(Logprobs::new(f32::NEG_INFINITY, vec![])),
    ]
}

#[test]
fn logprobs_show_tokens_lossily_and_bytes_exactly() {
    let deltas = [
        Delta::text("é").with_tokens(tokens()),
        Delta::finish(FinishReason::Stop),
    ];
    let asked = chat(|params| (params.logprobs, params.top_logprobs) = (true, Some(2)));
    let expect = json!({"refusal": null, "content": [
        {"token": "é", "logprob": -0.5, "bytes": [195, 169], "id": 4, "top_logprobs": [
            {"token": "é", "logprob": -0.5, "bytes": [195, 169], "id": 4},
            {"token": "\u{fffd}", "logprob": -1.0, "bytes": [195], "id": 5}]},
        {"token": "\u{fffd}", "logprob": -9999.0, "bytes": [226, 130], "id": 6, "top_logprobs": []}]});
    assert_eq!(whole(asked.clone(), &deltas)["choices"][0]["logprobs"], expect);
    assert_eq!(stream(asked, &deltas)[1]["choices"][0]["logprobs"], expect);
    let one = chat(|params| (params.logprobs, params.top_logprobs) = (true, Some(1)));
    let shown = &whole(one, &deltas)["choices"][0]["logprobs"]["content"][0]["top_logprobs"];
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(
        whole(chat(|_| {}), &deltas)["choices"][0]["logprobs"],
        Value::Null
    );
}

#[test]
fn completions_have_parallel_lists_and_offsets_in_characters() {
    let deltas = [
        Delta::text("é").with_tokens(tokens()),
        Delta::text("x").with_tokens(vec![Token::new(None, "x")]),
    ];
    let reply = whole(completion(Some(2)), &deltas);
    assert_eq!(
        (&reply["object"], &reply["id"]),
        (&json!("text_completion"), &json!("cmpl-7"))
    );
    assert_eq!(
        reply["choices"][0],
        json!({"index": 0, "text": "éx", "finish_reason": null, "logprobs": {
            "tokens": ["é", "bytes:\\xe2\\x82", "x"], "token_logprobs": [-0.5, -9999.0, null],
            "top_logprobs": [{"é": -0.5, "bytes:\\xc3": -1.0}, {}, {}], "text_offset": [0, 1, 2], "token_ids": [4, 6, null]}})
    );
    let events = stream(completion(Some(0)), &deltas);
    assert_eq!(events[1]["choices"][0]["logprobs"]["text_offset"], json!([2]));
    assert_eq!(events[1]["choices"][0]["logprobs"]["top_logprobs"], Value::Null);
    assert_eq!(events[0]["choices"][0]["text"], "é");
}

#[test]
fn embeddings_are_numbers_or_base64() {
    let reply = |encoding: &str| {
        let body = format!("{{\"model\":\"m\",\"input\":[\"a\",\"b\"]{encoding}}}");
        let json = HeaderValue::from_static("application/json");
        let wire = Wire::new(OpenAi::DIALECT, "/v1/embeddings", json, body);
        let deltas = [
            Delta::embedding(1, vec![0.25]),
            Delta::embedding(0, vec![0.5, -1.0]).with_usage(Usage {
                input_tokens: 4,
                output_tokens: 0,
            }),
        ];
        whole(shape(&Input::from_wire(Task::EMBEDDINGS, wire)), &deltas)
    };
    assert_eq!(
        reply(""),
        json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}, "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.25]}]})
    );
    assert_eq!(
        reply(",\"encoding_format\":\"base64\"")["data"][0]["embedding"],
        "AAAAPwAAgL8="
    );
}

prop_compose! {
    fn delta()(
        index in 0_u32..3,
        text in "\\PC{0,6}",
        reasoning in "\\PC{0,3}",
        finish in prop::option::of(Just(FinishReason::Stop)),
        tokens in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..4), -50.0_f32..=0.0), 0..3),
    ) -> Delta {
        let mut delta = Delta::text(text).with_tokens(
            tokens
                .into_iter()
                .map(|(id, bytes, logprob)| Token::new(id, bytes).with_logprobs(Logprobs::new(logprob, vec![])))
                .collect(),
        );
        (delta.index, delta.reasoning, delta.finish_reason) = (index, reasoning, finish);
        delta
    }
}

/// What deltas say of each choice together: text, reasoning, tokens.
fn folded(deltas: &[Delta]) -> Vec<(String, String, Vec<Token>)> {
    let mut all = vec![<(String, String, Vec<Token>)>::default(); 3];
    for delta in deltas {
        let choice = &mut all[delta.index as usize];
        choice.0.push_str(&delta.text);
        choice.1.push_str(&delta.reasoning);
        choice.2.extend_from_slice(&delta.tokens);
    }
    all
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(deltas in prop::collection::vec(delta(), 0..8)) {
        let asked = chat(|params| params.logprobs = true);
        let mut writer = asked.clone().stream();
        let mut bytes: Vec<u8> = deltas.iter().flat_map(|delta| writer.event(delta)).collect();
        bytes.extend_from_slice(&writer.finish());
        let mut framer = Framer::new(Framing::Sse, Limits::default());
        framer.push(bytes.into());
        let mut read = Vec::new();
        while let Some(event) = framer.next() {
            read.extend(OpenAi.deltas(&event.unwrap(), Framing::Sse).unwrap());
        }
        prop_assert_eq!(framer.finish(), Rest::Nothing);
        prop_assert_eq!(folded(&read), folded(&deltas));

        let mut writer = asked.whole();
        deltas.iter().for_each(|delta| writer.push(delta));
        let document: Bytes = writer.finish();
        prop_assert_eq!(folded(&OpenAi.deltas(&document, Framing::Whole).unwrap()), folded(&deltas));
    }
}
