//! What must hold of every parser of untrusted bytes. `fuzz/` feeds these with a fuzzer's input, `tests/replay.rs` with
//! the committed corpus and with random bytes.
//!
//! # Panics
//! Every function here panics where what must hold does not.

use bytes::Bytes;
use http::HeaderValue;
use synapse_core::{Chunk, Framing, Input, Task, Wire};
use synapse_http::{
    OpenAi,
    sse::{Framer, Limits, Rest},
};

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
    let body = Bytes::copy_from_slice(body);
    let wire = Wire::new(
        OpenAi::DIALECT,
        path,
        HeaderValue::from_static("application/json"),
        body.clone(),
    );
    let input = Input::from_wire(task.clone(), wire);
    match input.view() {
        Err(error) => assert!(error.kind().is_callers_fault(), "{error:?}"),
        Ok(view) => {
            let view = view.expect("an input from the wire has a view");
            for field in ["model", "messages", "prompt", "input", "max_tokens", "stream"] {
                let Some(range) = view.field(field) else { continue };
                assert!(
                    range.end <= body.len() && !range.is_empty(),
                    "{field} at {range:?}"
                );
            }
            if let Err(error) = input.request() {
                assert!(error.kind().is_callers_fault(), "{error:?}");
            }
            assert_eq!(
                input
                    .wire_for(OpenAi::DIALECT)
                    .expect("nothing was edited")
                    .body(),
                &body
            );
            edited(&input);
        }
    }
}

fn edited(input: &Input) {
    let mut input = input.clone();
    input.set_model("other").expect("a JSON body can be edited");
    if *input.task() != Task::EMBEDDINGS {
        input.set_max_tokens(17).expect("a JSON body can be edited");
    }
    let wire = input.wire_for(OpenAi::DIALECT).expect("an edit of a good body");
    let again = Input::from_wire(input.task().clone(), wire);
    assert_eq!(again.model().expect("an edited body is good"), "other");
    if *input.task() != Task::EMBEDDINGS {
        assert_eq!(again.max_tokens().expect("an edited body is good"), Some(17));
    }
}

/// A reply, streamed or whole: read without a panic, and the same twice.
pub fn openai_reply(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let framing = if choice % 2 == 0 {
        Framing::Sse
    } else {
        Framing::Whole
    };
    if let Ok(Some(chunk)) = Chunk::read(Bytes::copy_from_slice(body), OpenAi::DIALECT, framing) {
        let first = chunk
            .deltas()
            .map(<[_]>::to_vec)
            .map_err(|error| error.code().to_owned());
        let again = chunk
            .deltas()
            .map(<[_]>::to_vec)
            .map_err(|error| error.code().to_owned());
        assert_eq!(first, again);
        let _ = (chunk.usage(), chunk.has_content());
    }
}

/// A stream of events: however it is split, the events are the same, and no byte of them is lost.
pub fn sse(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = events(&[stream]);
    let split: Vec<&[u8]> = stream.chunks(usize::from(*size).max(1)).collect();
    assert_eq!(whole, events(&split));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(whole, events(&bytes));
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
