//! Changing a body, with taps on both sides.

use std::collections::VecDeque;

use synapse_core::{Chunk, Error, Transform};

use crate::fakes::{Log, body_of, drained, failure, last, shown, text};

/// A transform as a closure.
struct Change<F>(F);

impl<F> Transform for Change<F>
where
    F: FnMut(Chunk, &mut VecDeque<Chunk>) -> Result<(), Error> + Send + 'static,
{
    fn on_chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        (self.0)(chunk, out)
    }
}

/// Sends `a`, a control, `b` and a last `c` through `change`; what comes out, and what each side's taps were told.
async fn check<F>(change: F, yields: &[&str], inner_ending: &str, outer_ending: &str)
where
    F: FnMut(Chunk, &mut VecDeque<Chunk>) -> Result<(), Error> + Send + 'static,
{
    let (inner, outer) = (Log::default(), Log::default());
    let mut body = body_of([
        Ok(text("a")),
        Ok(Chunk::control("proof", "")),
        Ok(text("b")),
        Ok(last("c")),
    ]);
    body.tap(inner.tap());
    let mut body = body.transform(Change(change));
    body.tap(outer.tap());
    assert_eq!(drained(&mut body).await, yields);
    drop(body);
    assert_eq!(inner.endings(), [inner_ending], "inside");
    assert_eq!(outer.endings(), [outer_ending], "outside");
}

#[tokio::test]
async fn withholds_strips_and_adds() {
    let keep = |chunk, out: &mut VecDeque<Chunk>| {
        out.push_back(chunk);
        Ok(())
    };
    check(keep, &["a", "!proof", "b", "c"], "complete", "complete").await;

    let strip = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        if chunk.as_control().is_none() {
            out.push_back(chunk);
        }
        Ok(())
    };
    check(strip, &["a", "b", "c"], "complete", "complete").await;

    let mut held = VecDeque::new();
    let withhold = move |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        let end = chunk.is_last();
        held.push_back(chunk);
        if end {
            out.append(&mut held);
        }
        Ok(())
    };
    check(withhold, &["a", "!proof", "b", "c"], "complete", "complete").await;

    let add = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        if chunk.is_last() {
            out.push_back(Chunk::control("signature", ""));
        }
        out.push_back(chunk);
        Ok(())
    };
    check(
        add,
        &["a", "!proof", "b", "!signature", "c"],
        "complete",
        "complete",
    )
    .await;
}

#[tokio::test]
async fn swallowing_the_last_chunk_breaks_the_body() {
    let swallow = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        if !chunk.is_last() {
            out.push_back(chunk);
        }
        Ok(())
    };
    let seen = ["a", "!proof", "b", "error truncated_reply"];
    check(swallow, &seen, "complete", "broken truncated_reply").await;
}

#[tokio::test]
async fn an_error_of_the_transform_breaks_the_body_and_drops_what_is_behind() {
    let refuse = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        if shown(&chunk) == "b" {
            return Err(failure("forged"));
        }
        out.push_back(chunk);
        Ok(())
    };
    check(
        refuse,
        &["a", "!proof", "error forged"],
        "dropped",
        "broken forged",
    )
    .await;
}

#[tokio::test]
async fn a_panic_of_the_transform_breaks_the_body() {
    let panic = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        assert!(shown(&chunk) != "b", "a fault injected into a transform");
        out.push_back(chunk);
        Ok(())
    };
    let seen = ["a", "!proof", "error module_panicked"];
    check(panic, &seen, "dropped", "broken module_panicked").await;
}

#[tokio::test]
async fn an_early_end_lets_the_rest_run_to_its_own() {
    let first = |chunk: Chunk, out: &mut VecDeque<Chunk>| {
        out.push_back(chunk.into_last());
        Ok(())
    };
    check(first, &["a"], "complete", "complete").await;
}
