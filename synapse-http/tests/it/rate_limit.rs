//! What is left of a quota, as clients read it.

use std::time::Duration;

use synapse_core::{
    Body, Delta, Error, ErrorKind, FinishReason, Output, RateLimitStatus, RateLimited, Retry, WindowStatus,
    testkit::Scripted,
};
use synapse_http::router;

use super::server::{Reply, chat, start};

fn status() -> RateLimitStatus {
    RateLimitStatus::new(
        Some(WindowStatus::new(60, 59, Duration::from_secs(1))),
        Some(WindowStatus::new(150_000, 149_984, Duration::from_secs(360))),
    )
}

const SAID: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "59"),
    ("x-ratelimit-reset-requests", "1s"),
    ("x-ratelimit-limit-tokens", "150000"),
    ("x-ratelimit-remaining-tokens", "149984"),
    ("x-ratelimit-reset-tokens", "6m0s"),
];

fn says(reply: &Reply) -> bool {
    SAID.iter().all(|(name, value)| reply.header(name) == Some(value))
}

/// Answers with `status` in the head.
fn limited(status: Option<RateLimitStatus>) -> Scripted {
    Scripted::new(move |_| async move {
        let mut output = Output::new(Body::from_deltas([
            Delta::text("hi"),
            Delta::finish(FinishReason::Stop),
        ]));
        if let Some(status) = status {
            output.head.extensions_mut().insert(status);
        }
        Ok(output)
    })
}

#[tokio::test]
async fn a_reply_says_what_is_left_in_both_formats_whole_or_streamed() {
    let server = start(router(limited(Some(status())))).await;
    for stream in [false, true] {
        assert!(
            says(&server.post("/v1/chat/completions", &chat(stream)).await),
            "stream: {stream}"
        );
        assert!(
            says(&server.post("/api/chat", &chat(stream)).await),
            "stream: {stream}"
        );
    }
    let mut half = status();
    half.requests = None;
    let server = start(router(limited(Some(half)))).await;
    let reply = server.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(reply.header("x-ratelimit-limit-tokens"), Some("150000"));
    assert!(!reply.head.contains("-requests:"), "{}", reply.head);
    let server = start(router(limited(None))).await;
    let reply = server.post("/v1/chat/completions", &chat(false)).await;
    assert!(!reply.head.contains("x-ratelimit"), "{}", reply.head);
}

#[tokio::test]
async fn a_refusal_says_it_beside_when_to_come_back() {
    let refuses = Scripted::new(|_| async {
        Err(Error::new(
            ErrorKind::RateLimited,
            "rate_limited",
            "60 requests a minute are used up",
        )
        .with_retry(Retry::After(Duration::from_millis(1500)))
        .with_source(RateLimited(status())))
    });
    let server = start(router(refuses)).await;
    for path in ["/v1/chat/completions", "/api/chat"] {
        for stream in [false, true] {
            let reply = server.post(path, &chat(stream)).await;
            assert_eq!(reply.status, 429);
            assert!(says(&reply), "{}", reply.head);
            assert_eq!(reply.header("retry-after"), Some("2"));
        }
    }
}
