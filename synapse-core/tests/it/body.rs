//! How bodies end, and who is told.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use futures_util::{FutureExt, StreamExt, stream};
use synapse_core::{Body, Chunk, Ending, Tap};

use crate::fakes::{Log, Noted, PanickingTap, body_of, drained, failure, last, text};

/// Reads a body that is tapped to its end; gives what came out, and what the tap was told as its ending.
async fn check(mut body: Body, yields: &[&str], ending: &str) {
    let log = Log::default();
    body.tap(log.tap());
    assert_eq!(drained(&mut body).await, yields);
    assert_eq!(log.endings(), [ending], "told while the body is still there");
    drop(body);
    assert_eq!(log.endings(), [ending], "told once");
}

#[tokio::test]
async fn ends_as_its_source_does() {
    check(body_of([Ok(text("a")), Ok(last("b"))]), &["a", "b"], "complete").await;
    check(
        body_of([Ok(text("a")), Err(failure("cut"))]),
        &["a", "error cut"],
        "broken cut",
    )
    .await;
    check(
        body_of([Ok(text("a"))]),
        &["a", "error truncated_reply"],
        "broken truncated_reply",
    )
    .await;
    check(body_of([]), &["error truncated_reply"], "broken truncated_reply").await;
    check(
        body_of([Ok(last("a")), Ok(text("never")), Ok(last("never"))]),
        &["a"],
        "complete",
    )
    .await;
    check(
        body_of([Err(failure("cut")), Ok(text("never"))]),
        &["error cut"],
        "broken cut",
    )
    .await;
    check(Body::whole("all of it"), &["all of it"], "complete").await;
    check(
        Body::from_deltas([]),
        &["error truncated_reply"],
        "broken truncated_reply",
    )
    .await;
}

#[tokio::test]
async fn an_unframed_body_is_complete_when_its_source_ends() {
    let bytes = |chunks: Vec<_>| Body::unframed(stream::iter(chunks));
    let audio = || Ok(Chunk::event("RIFF"));
    check(bytes(vec![audio(), audio()]), &["RIFF", "RIFF"], "complete").await;
    check(bytes(vec![]), &[], "complete").await;
    check(
        bytes(vec![audio(), Err(failure("cut"))]),
        &["RIFF", "error cut"],
        "broken cut",
    )
    .await;
}

#[tokio::test]
async fn a_source_that_panics_breaks_the_body() {
    let body = Body::new(stream::iter([0, 1]).map(|at| match at {
        0 => Ok(text("a")),
        _ => panic!("a fault injected into a source"),
    }));
    check(body, &["a", "error module_panicked"], "broken module_panicked").await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_on_is_dropped() {
    for read in 0..2 {
        let log = Log::default();
        let mut body = body_of([Ok(text("a")), Ok(text("b")), Ok(last("c"))]);
        body.tap(log.tap());
        for _ in 0..read {
            body.next().await;
        }
        drop(body);
        assert_eq!(log.endings(), ["dropped"]);
    }
}

#[tokio::test]
async fn a_client_that_closes_after_the_last_chunk_counts_as_complete() {
    let log = Log::default();
    let mut body = body_of([Ok(last("a"))]);
    body.tap(log.tap());
    body.next().await;
    drop(body);
    assert_eq!(log.lines(), ["chunk a", "complete"]);
}

#[tokio::test]
async fn taps_are_told_in_the_order_in_which_they_were_set() {
    let log = Log::default();
    let mut body = body_of([Ok(text("a")), Ok(last("b"))]);
    body.tap(log.tap_named("1:"));
    body.next().await;
    body.tap(log.tap_named("2:"));
    body.next().await;
    assert_eq!(
        log.lines(),
        ["chunk 1:a", "chunk 1:b", "chunk 2:b", "1:complete", "2:complete"]
    );
}

#[tokio::test]
async fn a_tap_that_comes_late_is_told_how_it_ended() {
    async fn late(mut body: Body, ending: &str) {
        drained(&mut body).await;
        let log = Log::default();
        body.tap(log.tap());
        assert_eq!(log.lines(), [ending]);
    }
    late(body_of([Ok(last("a"))]), "complete").await;
    late(body_of([Err(failure("cut"))]), "broken cut").await;
    let mut unread_past_its_last = body_of([Ok(last("a"))]);
    unread_past_its_last.next().await;
    late(unread_past_its_last, "complete").await;
}

#[tokio::test]
async fn a_tap_that_panics_does_not_rob_the_next() {
    let log = Log::default();
    let mut body = body_of([Ok(text("a")), Ok(last("b"))]);
    body.tap(PanickingTap);
    body.tap(log.tap());
    assert_eq!(drained(&mut body).await, ["a", "b"]);
    assert_eq!(log.lines(), ["chunk a", "chunk b", "complete"]);
}

/// Holds something, and panics as it is let go.
struct Holding(Arc<AtomicUsize>);

impl Tap for Holding {
    fn on_end(&mut self, _: &Ending) {}
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        panic!("a fault injected into a drop");
    }
}

#[tokio::test]
async fn a_tap_is_let_go_at_the_ending_rather_than_with_the_body() {
    let freed = Arc::new(AtomicUsize::new(0));
    let log = Log::default();
    let mut body = body_of([Ok(last("a"))]);
    body.tap(Holding(freed.clone()));
    body.tap(log.tap());
    body.next().await;
    assert_eq!(freed.load(SeqCst), 1, "while the body is still there");
    assert_eq!(log.endings(), ["complete"]);
}

#[tokio::test]
async fn the_work_is_stopped_before_taps_make_room_for_more() {
    let log = Log::default();
    let mut dropped = Body::new(Noted {
        source: stream::pending(),
        log: log.clone(),
    });
    dropped.tap(log.tap());
    drop(dropped);
    assert_eq!(log.lines(), ["source dropped", "dropped"]);

    let log = Log::default();
    let mut broken = Body::new(Noted {
        source: stream::iter([Err(failure("cut")), Ok(text("never"))]),
        log: log.clone(),
    });
    broken.tap(log.tap());
    broken.next().await;
    assert_eq!(log.lines(), ["source dropped", "broken cut"]);
}

#[tokio::test]
async fn a_source_that_panics_as_it_is_dropped_does_not_rob_the_taps() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a fault injected into a drop");
        }
    }
    let bomb = Bomb;
    let log = Log::default();
    let mut body = Body::new(stream::poll_fn(move |_| {
        let _held = &bomb;
        Poll::Pending
    }));
    body.tap(log.tap());
    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(body)));
    assert!(dropped.is_ok(), "the panic is caught");
    assert_eq!(log.endings(), ["dropped"]);
}

/// Counts how often a source is polled.
fn counted(mut next: impl FnMut(usize) -> Poll<Option<Chunk>> + Send + 'static) -> (Body, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let count = polls.clone();
    let source = stream::poll_fn(move |_| next(count.fetch_add(1, SeqCst)).map(|item| item.map(Ok)));
    (Body::new(source), polls)
}

#[tokio::test]
async fn a_source_is_drained_after_the_last_chunk_but_not_for_ever() {
    let (mut body, polls) = counted(|poll| match poll {
        0 => Poll::Ready(Some(last("a"))),
        1 | 2 => Poll::Ready(Some(text("trailer"))),
        3 => Poll::Ready(None),
        _ => panic!("polled after its end"),
    });
    assert_eq!(drained(&mut body).await, ["a"]);
    assert!(body.next().await.is_none());
    assert_eq!(polls.load(SeqCst), 4, "to its own end");

    let (mut endless, polls) = counted(|_| Poll::Ready(Some(last("a"))));
    assert_eq!(drained(&mut endless).await, ["a"]);
    assert!(polls.load(SeqCst) <= 20, "bounded");

    let (mut slow, polls) = counted(|poll| match poll {
        0 => Poll::Ready(Some(last("a"))),
        _ => Poll::Pending,
    });
    slow.next().await;
    assert!(slow.next().now_or_never().expect("never waited for").is_none());
    assert_eq!(polls.load(SeqCst), 2);
}

#[tokio::test]
async fn a_body_that_is_wrapped_keeps_its_framing_and_its_taps() {
    let log = Log::default();
    let mut audio = Body::unframed(stream::iter([Ok(Chunk::event("RIFF"))]));
    audio.tap(log.tap_named("inner "));
    let mut audio = audio.wrap(|body| body.map(|chunk| chunk));
    audio.tap(log.tap_named("outer "));
    assert_eq!(drained(&mut audio).await, ["RIFF"]);
    assert_eq!(log.endings(), ["inner complete", "outer complete"]);
}
