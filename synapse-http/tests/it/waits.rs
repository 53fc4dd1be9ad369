//! What a client waits for, and for how long.

use std::time::Duration;

use futures_util::StreamExt;
use http::HeaderValue;
use synapse_core::{Deadline, ErrorKind, InferenceModule, Input, Message, Retry, Task, Wire};
use synapse_http::{OpenAi, OpenAiModule};
use tokio::time::{Instant, sleep, timeout};

use crate::upstream::{END, Step, Upstream, chunked, whole};

const SSE: &str = "text/event-stream";
const RED: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Red\"}}]}\n\n";

fn ask() -> Input {
    Input::chat("m", [Message::user("Name a colour.")])
}

fn until(limit: Duration) -> Input {
    let mut input = ask();
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + limit));
    input
}

/// A head, and comments for ever.
async fn comments() -> Upstream {
    Upstream::start(|_| {
        let mut steps = vec![Step::Send(chunked(SSE, &[]))];
        for _ in 0..100 {
            steps.push(Step::Send(b"8\r\n: ping\n\n\r\n".to_vec()));
            steps.push(Step::Pause(Duration::from_millis(50)));
        }
        steps
    })
    .await
}

#[tokio::test]
async fn comments_are_no_content_to_wait_for() {
    let upstream = comments().await;
    let module = OpenAiModule::builder(&*upstream.url)
        .head_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let call = timeout(Duration::from_secs(3), module.run_inference(ask()));
    let error = call.await.expect("it ends in time").unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::Timeout, "head_timeout", Retry::Elsewhere)
    );
    let call = module.run_inference(until(Duration::from_millis(100)));
    assert_eq!(call.await.unwrap_err().code(), "deadline_exceeded");
}

#[tokio::test]
async fn a_caller_that_leaves_before_any_content_is_counted() {
    let upstream = comments().await;
    let module = OpenAiModule::builder(&*upstream.url).build().unwrap();
    let call = timeout(Duration::from_millis(100), module.run_inference(ask()));
    assert!(call.await.is_err());
    let metrics = module.get_metrics();
    assert_eq!(metrics.get("client.dropped", &[]), Some(1.0));
    assert_eq!(metrics.get("client.in_flight", &[]), Some(0.0));
}

#[tokio::test]
async fn a_deadline_holds_although_the_next_event_is_there() {
    let upstream = Upstream::start(|_| {
        let rest = chunked(SSE, &["data: [DONE]\n\n"])[chunked(SSE, &[]).len()..].to_vec();
        vec![
            Step::Send(chunked(SSE, &[RED])),
            Step::Pause(Duration::from_millis(50)),
            Step::Send([&rest[..], END].concat()),
        ]
    })
    .await;
    let module = OpenAiModule::builder(&*upstream.url).build().unwrap();
    let output = module.run_inference(until(Duration::from_millis(300))).await;
    let mut body = output.unwrap().body;
    body.next().await.unwrap().unwrap();
    sleep(Duration::from_millis(400)).await;
    let rest: Vec<_> = body.collect().await;
    let last = rest.last().unwrap().as_ref().unwrap_err();
    assert_eq!(last.code(), "deadline_exceeded");
    assert_eq!(module.get_metrics().get("client.in_flight", &[]), Some(0.0));
}

#[tokio::test]
async fn a_deadline_that_is_far_away_travels_as_the_longest_that_is_accepted() {
    let upstream = Upstream::start(|_| {
        vec![Step::Send(whole(
            "200 OK",
            "content-type: application/json\r\n",
            "{\"choices\":[]}",
        ))]
    })
    .await;
    let module = OpenAiModule::builder(&*upstream.url).build().unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    module.run_inference(until(week)).await.unwrap();
    let request = upstream.requests().remove(0);
    assert!(
        request.contains("x-synapse-deadline-ms: 86400000\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_path_never_reaches_another_host() {
    let module = OpenAiModule::builder("http://127.0.0.1:1").build().unwrap();
    for path in [
        "@127.0.0.1:2/v1",
        "0/v1",
        ".example.com/",
        "v1/chat/completions",
        "",
    ] {
        let json = HeaderValue::from_static("application/json");
        let wire = Wire::new(OpenAi::DIALECT, path, json, "{\"model\":\"m\",\"messages\":[]}");
        let error = module
            .run_inference(Input::from_wire(Task::CHAT, wire))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "bad_path", "{path:?}");
    }
}
