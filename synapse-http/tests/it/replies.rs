//! What goes out.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::HeaderValue;
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, FinishReason, Framing, Head, Output, Retry, Usage,
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, OpenAi, router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    modules::{Panics, replays},
    server::{chat, post_head, start},
};

const CHAT: &str = "/v1/chat/completions";
const SSE: Option<&str> = Some("text/event-stream");
const JSON: Option<&str> = Some("application/json");

#[tokio::test]
async fn wire_events_pass_byte_for_byte() {
    for end in ["\n", "\r\n", "\r"] {
        let events = [
            format!("data: {{\"a\":  1}}{end}{end}"),
            format!(": why{end}event: delta{end}id: 7{end}data:{{\"b\":{end}data: \"\u{e4}\"}}{end}{end}"),
            format!("data: [DONE]{end}{end}"),
        ];
        let (last, first) = events.split_last().unwrap();
        let mut chunks: Vec<_> = first
            .iter()
            .map(|event| Ok(Chunk::event(event.clone())))
            .collect();
        chunks.push(Ok(Chunk::last(last.clone())));
        let given = Some("text/event-stream; charset=utf-8");
        let server = start(router(replays(given, chunks))).await;
        let reply = server.post(CHAT, &chat(true)).await;
        assert_eq!(reply.text(), events.concat());
        assert!(reply.is_whole());
        assert_eq!(reply.header("content-type"), given);
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    }
}

#[tokio::test]
async fn a_whole_reply_passes_byte_for_byte_with_its_length() {
    let body = "{ \"id\" : 1,\n \"unknown\":[ ] }\n";
    let server = start(router(replays(JSON, vec![Ok(Chunk::last(body))]))).await;
    let reply = server.post(CHAT, &chat(false)).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-length"), Some(&*body.len().to_string()));
}

#[tokio::test]
async fn what_a_module_in_rust_says_is_rendered_either_way() {
    let server = start(router(Echo::new())).await;
    let whole = server.post(CHAT, &chat(false)).await;
    assert_eq!(whole.header("content-type"), Some("application/json"));
    let document = whole.json();
    assert_eq!(document["choices"][0]["message"]["content"], "one two three");
    assert_eq!(document["usage"]["total_tokens"], 6);
    let id = whole.header("x-request-id").unwrap();
    assert_eq!(document["id"], format!("chatcmpl-{id}"));

    let stream = server.post(CHAT, &chat(true)).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let text = stream.text();
    let said: String = text
        .split("\n\n")
        .filter_map(|event| serde_json::from_str::<serde_json::Value>(event.strip_prefix("data: ")?).ok())
        .filter_map(|event| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(said, "one two three");
    assert!(text.ends_with("data: [DONE]\n\n") && stream.is_whole());
}

#[tokio::test]
async fn a_failure_before_any_content_has_its_kinds_status() {
    for (kind, status) in [
        (ErrorKind::Invalid, 400),
        (ErrorKind::Unsupported, 400),
        (ErrorKind::Unauthenticated, 401),
        (ErrorKind::Forbidden, 403),
        (ErrorKind::NotFound, 404),
        (ErrorKind::TooLarge, 413),
        (ErrorKind::RateLimited, 429),
        (ErrorKind::Internal, 500),
        (ErrorKind::Broken, 502),
        (ErrorKind::Overloaded, 503),
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Timeout, 504),
    ] {
        let error = Error::new(kind, "some_code", "something failed")
            .with_param("some")
            .with_retry(Retry::After(Duration::from_millis(1500)));
        let server = start(router(Scripted::new(move |_| {
            let error = error.clone();
            async move { Err(error) }
        })))
        .await;
        for stream in [false, true] {
            let reply = server.post(CHAT, &chat(stream)).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, "some_code"));
            assert_eq!(reply.header("retry-after"), Some("2"));
            assert_eq!(reply.json()["error"]["param"], "some");
        }
    }
}

#[tokio::test]
async fn a_failure_in_the_middle_is_an_event_and_never_a_complete_reply() {
    let broken = || Err(Error::broken("truncated_reply", "the reply stopped"));
    let native = vec![Ok(Chunk::delta(Delta::text("hi"))), broken()];
    let wire = vec![Ok(Chunk::event("data: {\"a\":1}\n\n")), broken()];
    let cut = vec![Ok(Chunk::event("data: {\"a\":1}\n\n"))];
    for (given, chunks) in [(None, native), (SSE, wire), (SSE, cut)] {
        let server = start(router(replays(given, chunks.clone()))).await;
        let reply = server.post(CHAT, &chat(true)).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.is_whole(), "the chunks do not end");
        let text = reply.text();
        assert!(!text.contains("[DONE]"));
        let last = text
            .trim_end()
            .rsplit("\n\n")
            .next()
            .unwrap()
            .strip_prefix("data: ")
            .unwrap();
        let event: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["error"]["code"], "truncated_reply", "{text}");

        let reply = server.post(CHAT, &chat(false)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (502, "truncated_reply"),
            "not streamed, it has a status"
        );
    }
    let server = start(router(Panics::Body)).await;
    let reply = server.post(CHAT, &chat(true)).await;
    assert!(!reply.is_whole() && reply.text().contains("module_panicked"));
}

#[tokio::test]
async fn a_stream_is_folded_and_a_whole_reply_unfolded_where_the_client_asked_for_the_other() {
    let read = |text: &'static str, framing| {
        Chunk::read(text.into(), OpenAi::DIALECT, framing)
            .unwrap()
            .unwrap()
    };
    let events = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Red\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hot\"},\"finish_reason\":\"length\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    let chunks = events.map(|event| Ok(read(event, Framing::Sse))).to_vec();
    let server = start(router(replays(SSE, chunks))).await;
    let document = server.post(CHAT, &chat(false)).await.json();
    assert_eq!(document["choices"][0]["message"]["content"], "Red hot");
    assert_eq!(document["choices"][0]["finish_reason"], "length");

    let whole = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Blue\"},\"finish_reason\":\"stop\"}]}";
    let server = start(router(replays(JSON, vec![Ok(read(whole, Framing::Whole))]))).await;
    let reply = server.post(CHAT, &chat(true)).await;
    let text = reply.text();
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(
        text.contains("\"content\":\"Blue\"") && text.ends_with("data: [DONE]\n\n") && reply.is_whole(),
        "{text}"
    );
}

#[tokio::test]
async fn controls_stay_inside_unless_they_are_wanted() {
    let chunks = vec![
        Ok(Chunk::control("commitment", "{\"root\":\"ab\"}")),
        Ok(Chunk::event("data: {\"a\":1}\n\n")),
        Ok(Chunk::last("data: [DONE]\n\n")),
    ];
    let plain = "data: {\"a\":1}\n\ndata: [DONE]\n\n";
    let server = start(router(replays(SSE, chunks.clone()))).await;
    assert_eq!(server.post(CHAT, &chat(true)).await.text(), plain);
    let server = start(Api::builder(replays(SSE, chunks)).controls(true)).await;
    let text = server.post(CHAT, &chat(true)).await.text();
    assert_eq!(
        text,
        format!("event: synapse.commitment\ndata: {{\"root\":\"ab\"}}\n\n{plain}")
    );

    let whole = vec![
        Ok(Chunk::control("commitment", "ab")),
        Ok(Chunk::control("bad", "a\r\nb: c")),
        Ok(Chunk::last("{}")),
    ];
    let server = start(router(replays(JSON, whole.clone()))).await;
    assert_eq!(
        server
            .post(CHAT, &chat(false))
            .await
            .header("x-synapse-commitment"),
        None
    );
    let server = start(Api::builder(replays(JSON, whole)).controls(true)).await;
    let reply = server.post(CHAT, &chat(false)).await;
    assert_eq!(
        (reply.header("x-synapse-commitment"), reply.header("b")),
        (Some("ab"), None)
    );
    assert_eq!(reply.text(), "{}");
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let module = Scripted::new(|_| async {
        let first = stream::iter([Ok(Chunk::delta(Delta::text("hi")))]);
        let never = stream::once(pending::<Result<Chunk, Error>>());
        Ok(Output::new(Body::new(first.chain(never))))
    });
    let server = start(Api::builder(module).keep_alive(Duration::from_millis(30))).await;
    let body = chat(true);
    let mut stream = server.connect().await;
    stream
        .write_all((post_head(CHAT, "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches(": keep-alive\n\n").count() < 3 {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    let text = String::from_utf8(seen).unwrap();
    assert!(text.find("\"content\":\"hi\"").unwrap() < text.find(": keep-alive").unwrap());
}

#[tokio::test]
async fn the_source_comes_to_its_own_end_after_the_last_event() {
    let ended = Arc::new(AtomicBool::new(false));
    let ends = ended.clone();
    let module = Scripted::new(move |_| {
        let ends = ends.clone();
        let trailer = stream::poll_fn(move |_| {
            ends.store(true, Ordering::Relaxed);
            Poll::Ready(None)
        });
        let last = stream::iter([Ok(Chunk::last("data: [DONE]\n\n"))]);
        async { Ok(Output::new(Body::new(last.chain(trailer)))) }
    });
    let server = start(router(module)).await;
    assert!(server.post(CHAT, &chat(true)).await.is_whole());
    assert!(
        ended.load(Ordering::Relaxed),
        "so that its connection can be used again"
    );
}

#[tokio::test]
async fn a_reply_says_who_made_it() {
    let says = |miner: Option<&'static str>| {
        Scripted::new(move |_| async move {
            let head = miner.map_or_else(Head::default, |miner| {
                Head::default().with_served_by(miner.into())
            });
            let usage = Usage {
                input_tokens: 1,
                output_tokens: 1,
            };
            let deltas = [
                Delta::text("x"),
                Delta::finish(FinishReason::Stop).with_usage(usage),
            ];
            Ok(Output::new(Body::from_deltas(deltas)).with_head(head))
        })
    };
    for (miner, node, shown) in [
        (Some("m-1"), None, Some("m-1")),
        (Some("m-1"), Some("n-1"), Some("m-1")),
        (None, Some("n-1"), Some("n-1")),
        (None, None, None),
        (Some("m\r\nset-cookie: a"), None, None),
    ] {
        let mut api = Api::builder(says(miner));
        if let Some(node) = node {
            api = api.node_id(node);
        }
        let server = start(api).await;
        for stream in [false, true] {
            let reply = server.post(CHAT, &chat(stream)).await;
            assert_eq!(
                (reply.header("x-synapse-miner"), reply.header("set-cookie")),
                (shown, None)
            );
        }
    }
}

#[tokio::test]
async fn bytes_of_no_known_format_pass_under_their_type() {
    let module = Scripted::new(|_| async {
        let audio = Body::unframed(stream::iter([
            Ok(Chunk::event(&b"\0\x01"[..])),
            Ok(Chunk::event(&b"\xff"[..])),
        ]));
        let head = Head::default().with_content_type(HeaderValue::from_static("audio/mpeg"));
        Ok(Output::new(audio).with_head(head))
    });
    let server = start(router(module)).await;
    let reply = server.post(CHAT, &chat(false)).await;
    assert_eq!(
        (reply.header("content-type"), reply.body()),
        (Some("audio/mpeg"), b"\0\x01\xff".to_vec())
    );
    assert!(reply.is_whole());
}
