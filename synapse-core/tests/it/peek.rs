//! Looking ahead.

use futures_util::{FutureExt, StreamExt, stream};
use synapse_core::{Body, Chunk, Delta};
use tokio::time::{Duration, sleep, timeout};

use crate::fakes::{Log, body_of, drained, failure, last, role, shown, text};

#[tokio::test]
async fn holds_what_comes_before_content_and_yields_it_in_order() {
    let mut body = body_of([
        Ok(role()),
        Ok(Chunk::control("progress", "10 %")),
        Ok(text("a")),
        Ok(last("b")),
    ]);
    let log = Log::default();
    body.tap(log.tap());
    assert_eq!(shown(body.peek().await.unwrap()), "a");
    assert_eq!(shown(body.peek().await.unwrap()), "a", "nothing is taken out");
    assert_eq!(
        log.lines(),
        [""; 0],
        "taps see what is handed on, not what is looked at"
    );
    assert_eq!(drained(&mut body).await, ["", "!progress", "a", "b"]);
}

#[tokio::test]
async fn the_end_is_as_good_as_content() {
    let mut body = body_of([Ok(Chunk::control("note", "")), Ok(role().into_last())]);
    assert!(body.peek().await.unwrap().is_last());
    assert_eq!(drained(&mut body).await.len(), 2);
}

#[tokio::test]
async fn a_failure_before_content_is_an_error_and_ends_the_body() {
    async fn check(items: Vec<Result<Chunk, synapse_core::Error>>, code: &str) {
        let log = Log::default();
        let mut body = body_of(items);
        body.tap(log.tap());
        assert_eq!(body.peek().await.unwrap_err().code(), code);
        assert_eq!(log.lines(), [format!("broken {code}")]);
        assert!(
            body.next().await.is_none(),
            "what was held is not handed out after the failure"
        );
    }
    check(vec![Err(failure("cut"))], "cut").await;
    check(vec![Ok(role()), Err(failure("cut"))], "cut").await;
    check(vec![Ok(role())], "truncated_reply").await;
    check(vec![], "truncated_reply").await;
}

#[tokio::test(start_paused = true)]
async fn a_peek_that_is_cancelled_loses_nothing() {
    let late = stream::iter([role(), text("a"), last("b")]).then(|chunk| async {
        sleep(Duration::from_secs(2)).await;
        Ok(chunk)
    });
    let mut body = Body::new(late);
    for _ in 0..3 {
        assert!(timeout(Duration::from_secs(1), body.peek()).await.is_err());
    }
    assert_eq!(shown(body.peek().await.unwrap()), "a");
    assert_eq!(drained(&mut body).await, ["", "a", "b"]);
}

#[tokio::test]
async fn holds_only_so_much() {
    let chunks: [fn() -> Chunk; 3] = [
        || Chunk::control("blob", vec![0; 64 * 1024]),
        || Chunk::control("", ""),
        || Chunk::delta(Delta::default()),
    ];
    for chunk in chunks {
        let mut body = Body::new(stream::repeat_with(move || Ok(chunk())).take(1_000_000));
        let peeked = body
            .peek()
            .now_or_never()
            .expect("it gave up waiting for content");
        assert_eq!(peeked.unwrap_err().code(), "no_content");
    }
}

#[tokio::test]
async fn an_unframed_body_without_content_is_not_polled_past_its_end() {
    let mut polled_to_end = false;
    let mut body = Body::unframed(stream::poll_fn(move |_| {
        assert!(!polled_to_end, "polled after its end");
        polled_to_end = true;
        std::task::Poll::Ready(None)
    }));
    assert!(body.peek().await.is_err(), "there is nothing to look at");

    let mut polls = 0;
    let mut body = Body::unframed(stream::poll_fn(move |_| {
        polls += 1;
        std::task::Poll::Ready(match polls {
            1 => Some(Ok(Chunk::control("note", ""))),
            2 => None,
            _ => panic!("polled after its end"),
        })
    }));
    assert_eq!(shown(body.peek().await.unwrap()), "!note");
    assert_eq!(drained(&mut body).await, ["!note"]);
}
