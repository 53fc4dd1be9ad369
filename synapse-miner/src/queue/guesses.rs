//! What requests and replies in OpenAI's format are taken to cost.

use http::HeaderValue;
use synapse_core::{Chunk, Framing, Input, Message, Task, Wire};
use synapse_http::OpenAi;

use super::tokens::{Count, Guess};

fn wire(task: Task, body: &str) -> Input {
    let json = HeaderValue::from_static("application/json");
    Input::from_wire(
        task,
        Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body.to_owned()),
    )
}

#[test]
fn a_prompt_is_a_quarter_of_its_bytes_and_a_reply_what_it_may_have() {
    let check = |input: &Input, expect: (u64, u64)| {
        let guess = Guess::of(input);
        assert_eq!((guess.input, guess.output), expect, "{input:?}");
    };
    let messages = r#"[{"role":"user","content":"hello there"}]"#;
    let tokens = messages.len().div_ceil(4) as u64;
    let chat = |more: &str| {
        wire(
            Task::CHAT,
            &format!(r#"{{"model":"m","messages":{messages}{more}}}"#),
        )
    };
    check(&chat(""), (tokens, 256));
    check(&chat(r#","max_tokens":16"#), (tokens, 16));
    check(&chat(r#","max_tokens":16,"n":3"#), (tokens, 48));
    check(&chat(r#","max_tokens":1000000"#), (tokens, 2048));
    check(
        &chat(&format!(r#","tools":[],"x":"{}""#, "y".repeat(10_000))),
        (tokens, 256),
    );
    check(
        &wire(Task::EMBEDDINGS, r#"{"model":"m","input":"hello"}"#),
        (2, 0),
    );
    check(&wire(Task::CHAT, "{ not json"), (3, 256));
    check(&Input::chat("m", [Message::user("x".repeat(400))]), (100, 256));
    check(
        &Input::chat("m", [Message::user("x".repeat(1 << 20))]),
        (32 * 1024, 256),
    );
}

fn event(data: &str) -> Chunk {
    let bytes = format!("data: {data}\n\n").into();
    Chunk::read(bytes, OpenAi::DIALECT, Framing::Sse)
        .unwrap()
        .unwrap()
}

#[test]
fn a_reply_costs_what_the_engine_says_or_a_token_an_event() {
    let count = |chunks: &[Chunk]| {
        let mut count = Count::new(Guess {
            input: 7,
            output: 256,
        });
        for chunk in chunks {
            count.on_chunk(chunk);
        }
        (count.usage().input_tokens, count.usage().output_tokens)
    };
    let word = event(r#"{"choices":[{"index":0,"delta":{"content":"one"}}]}"#);
    let usage =
        event(r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}"#);
    let done = event("[DONE]");
    assert_eq!(
        count(&[word.clone(), word.clone(), usage.clone(), done.clone()]),
        (12, 34)
    );
    assert_eq!(count(&[word.clone(), word.clone(), done]), (7, 3));
    assert_eq!(count(&[word.clone(), word]), (7, 2), "as far as it came");
    assert_eq!(count(&[Chunk::last("x".repeat(400))]), (7, 100));
}
