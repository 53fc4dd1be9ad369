//! What must hold of every parser of untrusted bytes. `fuzz/` feeds these with a fuzzer's input, `tests/replay.rs` with
//! the committed corpus and with random bytes.
//!
//! # Panics
//! Every function here panics where what must hold does not.

mod door;
mod ledger;
mod signed;

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::HeaderValue;
use synapse_chain::{SignedTransaction, Transaction};
use synapse_core::{Chunk, Dialect, ErrorKind, Framing, Input, NodeId, Task, View, Wire};
use synapse_http::{
    Ollama, OpenAi,
    sse::{Framer, Limits, Rest},
    tls::NodeClaim,
};

pub use self::{door::door_headers, ledger::ledger_segment, signed::signed_headers};

/// A request body: read, edited, read again. The first byte chooses the task.
pub fn openai_request(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let (task, path) = match choice % 3 {
        0 => (Task::CHAT, "/v1/chat/completions"),
        1 => (Task::TEXT_COMPLETION, "/v1/completions"),
        _ => (Task::EMBEDDINGS, "/v1/embeddings"),
    };
    request(OpenAi::DIALECT, task, path, &Bytes::copy_from_slice(body));
}

/// A request body in Ollama's format: read, edited, read again, and rendered in OpenAI's. The first byte chooses the path.
pub fn ollama_request(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let path = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"][usize::from(choice % 4)];
    let body = Bytes::copy_from_slice(body);
    match Ollama::task(path, &body) {
        Err(error) => assert!(error.kind().is_callers_fault(), "{error:?}"),
        Ok(task) => request(Ollama::DIALECT, task, path, &body),
    }
}

fn request(dialect: &'static dyn Dialect, task: Task, path: &str, body: &Bytes) {
    let json = HeaderValue::from_static("application/json");
    let input = Input::from_wire(task, Wire::new(dialect, path, json, body.clone()));
    match input.view() {
        Err(error) => assert!(error.kind().is_callers_fault(), "{error:?}"),
        Ok(view) => {
            let view = view.expect("an input from the wire has a view");
            for field in [
                "model",
                "messages",
                "prompt",
                "input",
                "max_tokens",
                "options",
                "stream",
            ] {
                let Some(range) = view.field(field) else { continue };
                assert!(
                    range.end <= body.len() && !range.is_empty(),
                    "{field} at {range:?}"
                );
            }
            if let Err(error) = input.request() {
                assert!(error.kind().is_callers_fault(), "{error:?}");
            }
            for other in [OpenAi::DIALECT, Ollama::DIALECT] {
                match input.wire_for(other) {
                    Err(error) => assert!(error.kind().is_callers_fault(), "{error:?}"),
                    Ok(wire) if other.name() == dialect.name() => assert_eq!(wire.body(), body),
                    Ok(wire) => rendered(&input, wire),
                }
            }
            edited(&input);
        }
    }
}

/// What is rendered in another dialect can be read there, and asks as much.
fn rendered(input: &Input, wire: Wire) {
    let again = Input::from_wire(input.task().clone(), wire);
    if let Err(error) = again.view() {
        // What one dialect allows, such as a text of nothing to embed, another may refuse.
        assert!(error.kind().is_callers_fault(), "{error:?}");
        return;
    }
    let cap = |input: &Input| input.max_tokens().expect("a good body");
    assert_eq!(cap(&again), cap(input));
}

fn edited(input: &Input) {
    let mut input = input.clone();
    input.set_model("other").expect("a JSON body can be edited");
    if *input.task() != Task::EMBEDDINGS {
        input.set_max_tokens(17).expect("a JSON body can be edited");
    }
    let dialect = input.wire().expect("from the wire").dialect();
    let wire = input.wire_for(dialect).expect("an edit of a good body");
    untouched(&input, wire.body());
    let again = Input::from_wire(input.task().clone(), wire);
    assert_eq!(again.model().expect("an edited body is good"), "other");
    if *input.task() != Task::EMBEDDINGS {
        assert_eq!(again.max_tokens().expect("an edited body is good"), Some(17));
    }
}

/// Every field that was not edited has the bytes that it had.
fn untouched(input: &Input, body: &Bytes) {
    let view = |input: &Input| {
        input
            .view()
            .expect("a good body")
            .cloned()
            .expect("from the wire")
    };
    let wire = input.wire().expect("from the wire");
    let again = Input::from_wire(input.task().clone(), wire.with_body(body.clone()));
    let (before, after) = (view(input), view(&again));
    for field in [
        "messages",
        "prompt",
        "input",
        "temperature",
        "stop",
        "stream",
        "tools",
        "seed",
    ] {
        let bytes = |view: &View, body: &Bytes| view.field(field).map(|range| body.slice(range));
        assert_eq!(bytes(&before, wire.body()), bytes(&after, body), "{field}");
    }
}

/// One event of a reply, or a whole one: read without a panic; what travels is what came, and what cannot be read is
/// the server's fault.
pub fn openai_reply(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let framing = match choice % 3 {
        0 => Framing::Sse,
        1 => Framing::Whole,
        _ => Framing::Lines,
    };
    let body = Bytes::copy_from_slice(body);
    reply(OpenAi::DIALECT, framing, &body);
}

/// One line of a reply in Ollama's format, or a whole one, as [`openai_reply`].
pub fn ollama_reply(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let framing = match choice % 2 {
        0 => Framing::Lines,
        _ => Framing::Whole,
    };
    reply(Ollama::DIALECT, framing, &Bytes::copy_from_slice(body));
}

fn reply(dialect: &'static dyn Dialect, framing: Framing, body: &Bytes) {
    if let Ok(Some(chunk)) = Chunk::read(body.clone(), dialect, framing) {
        if let Some(wire) = chunk.wire() {
            assert_eq!(wire, body);
        }
        if let Err(error) = chunk.deltas() {
            assert_eq!(error.kind(), ErrorKind::Broken, "{error:?}");
        }
        let _ = (chunk.usage(), chunk.has_content());
    }
}

/// A transaction as a chain receives it: what cannot be read or is not signed is the sender's fault, and what is good
/// stays the same transaction, under the same hash, however often it is written.
pub fn signed_transaction(data: &[u8]) {
    let Ok(signed) = serde_json::from_slice::<SignedTransaction>(data) else {
        return;
    };
    let written = serde_json::to_vec(&signed).expect("what was read can be written");
    let again: SignedTransaction = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!((&again, again.hash()), (&signed, signed.hash()));
    let read = serde_json::from_str::<Transaction>(signed.body()).ok();
    if let Some(transaction) = &read {
        let body = serde_json::to_string(transaction).expect("what was read can be written");
        let again: Transaction = serde_json::from_str(&body).expect("what was written can be read");
        assert_eq!(again, *transaction);
    }
    match signed.verify() {
        Ok(transaction) => assert_eq!(read, Some(transaction)),
        Err(error) => assert!(error.kind().is_callers_fault(), "{error:?}"),
    }
}

/// A stream of events: however it is split, the events are the same, and nothing lies between them but blank lines.
pub fn sse(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = events(&[stream]);
    let split: Vec<&[u8]> = stream.chunks(usize::from(*size).max(1)).collect();
    assert_eq!(whole, events(&split));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(whole, events(&bytes));

    let (events, failed, rest) = whole;
    let mut left = stream;
    let rest = match &rest {
        Rest::Complete(rest) | Rest::Unterminated(rest) => Some(rest),
        _ => None,
    };
    for event in events.iter().chain(rest) {
        let blank = left.iter().take_while(|byte| is_blank(**byte)).count();
        let from = (0..=blank).find(|from| left[*from..].starts_with(event));
        let from = from.unwrap_or_else(|| panic!("{event:?} does not follow in {left:?}"));
        left = &left[from + event.len()..];
    }
    let over = left.iter().all(|byte| is_blank(*byte));
    assert!(failed.is_some() || over, "{} bytes were lost", left.len());
}

/// A node's certificate: read without a panic, or refused as none; what it says is not believed of anybody else.
pub fn node_certificate(data: &[u8]) {
    let claim = match NodeClaim::read(data) {
        Ok(claim) => claim,
        Err(error) => return assert_eq!(error.code(), "tls_not_a_node", "{error:?}"),
    };
    assert!(claim.tls_key().len() < data.len());
    assert!(claim.node().as_str().len() <= 64, "{claim:?}");
    for now in [claim.not_before(), claim.not_after(), UNIX_EPOCH] {
        let other = claim.check(&NodeId::from("somebody else"), now);
        assert_eq!(other.expect_err("it is another's").code(), "tls_wrong_key");
        if let Err(error) = claim.check(claim.node(), now) {
            assert!(error.code().starts_with("tls_"), "{error:?}");
        }
    }
}

/// A line end, or a byte of a byte order mark, which belongs to no event either.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0xef | 0xbb | 0xbf)
}

fn events(reads: &[&[u8]]) -> (Vec<Bytes>, Option<String>, Rest) {
    let mut framer = Framer::new(Framing::Sse, Limits::default());
    let mut events = Vec::new();
    for read in reads {
        framer.push(Bytes::copy_from_slice(read));
        while let Some(event) = framer.next() {
            match event {
                Ok(event) => events.push(event),
                Err(error) => return (events, Some(error.code().to_owned()), Rest::Nothing),
            }
        }
    }
    (events, None, framer.finish())
}
