//! What comes in: failures, limits, headers.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use synapse_core::{
    Body, Caller, Deadline, Delta, FinishReason, Input, Output, RequestId,
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, PeerAddr, proxies::TrustedProxies, router};
use tokio::time::Instant;

use super::server::{PATIENCE, chat, start};

const CHAT: &str = "/v1/chat/completions";

/// Answers, and keeps the last input it saw.
fn keeps() -> (Scripted, Arc<Mutex<Option<Input>>>) {
    let kept: Arc<Mutex<Option<Input>>> = Arc::default();
    let keep = kept.clone();
    let module = Scripted::new(move |input| {
        *keep.lock().unwrap() = Some(input);
        async {
            Ok(Output::new(Body::from_deltas([Delta::finish(
                FinishReason::Stop,
            )])))
        }
    });
    (module, kept)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_failure_has_its_status_and_openais_shape() {
    let api = Api::builder(Echo::new()).max_body_bytes(10_000);
    let server = start(api).await;
    let long = format!(
        "{{\"model\":\"echo\",\"messages\":[],\"pad\":\"{}\"}}",
        "x".repeat(10_000)
    );
    let bomb = gzip(&vec![b' '; 1_000_000]);
    let good = gzip(chat(false).as_bytes());
    let typed = |given: &str| format!("content-type: {given}\r\n");
    let zipped = "content-encoding: gzip\r\n".to_owned();
    let cases: Vec<(&str, String, Vec<u8>, u16, &str)> = vec![
        (
            "no JSON",
            String::new(),
            b"{\"model\":".to_vec(),
            400,
            "invalid_json",
        ),
        ("no body", String::new(), Vec::new(), 400, "invalid_json"),
        (
            "plain text",
            typed("text/plain"),
            chat(false).into(),
            415,
            "unsupported_content_type",
        ),
        (
            "a type that only begins so",
            typed("application/jsonp"),
            chat(false).into(),
            415,
            "unsupported_content_type",
        ),
        (
            "a long body",
            String::new(),
            long.clone().into(),
            413,
            "body_too_large",
        ),
        ("a bomb", zipped.clone(), bomb, 413, "body_too_large"),
        (
            "half of a gzip",
            zipped.clone(),
            good[..good.len() - 10].to_vec(),
            400,
            "invalid_encoding",
        ),
        (
            "no gzip",
            zipped.clone(),
            chat(false).into(),
            400,
            "invalid_encoding",
        ),
        (
            "gzip with more behind",
            zipped.clone(),
            [&good[..], b"more"].concat(),
            400,
            "invalid_encoding",
        ),
        (
            "gzip twice",
            "content-encoding: gzip, gzip\r\n".into(),
            gzip(&good),
            415,
            "unsupported_encoding",
        ),
        (
            "brotli",
            "content-encoding: br\r\n".into(),
            good.clone(),
            415,
            "unsupported_encoding",
        ),
        (
            "a deadline of words",
            "x-synapse-deadline-ms: soon\r\n".into(),
            chat(false).into(),
            400,
            "invalid_deadline",
        ),
        (
            "a deadline of never",
            "x-synapse-deadline-ms: 99999999999\r\n".into(),
            chat(false).into(),
            400,
            "invalid_deadline",
        ),
        (
            "another model",
            String::new(),
            chat(false).replace("\"echo\"", "\"gpt\"").into(),
            404,
            "model_not_found",
        ),
    ];
    for (why, headers, body, status, code) in cases {
        let reply = server.post_with(CHAT, &headers, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{why}");
    }
    let untyped = server
        .exchange(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        ))
        .await;
    assert_eq!(
        (untyped.status, untyped.code().as_str()),
        (415, "unsupported_content_type")
    );
    for (path, status, code) in [
        ("/v1/nothing", 404, "unknown_route"),
        (CHAT, 405, "method_not_allowed"),
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path}");
    }
    assert_eq!(server.get(CHAT).await.header("allow"), Some("post"));
    assert_eq!(server.post("/health/live", "").await.status, 405);
    assert_eq!(
        server.post_with(CHAT, &zipped, &good).await.status,
        200,
        "an honest gzip"
    );
    assert_eq!(
        server
            .post_with(
                CHAT,
                &typed("Application/JSON; charset=utf-8"),
                chat(false).as_bytes()
            )
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_limit_needs_no_length_and_does_not_wait_for_the_body() {
    let server = start(Api::builder(Echo::new()).max_body_bytes(1000)).await;
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n");
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let reply = server
        .exchange(format!(
            "{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
        ))
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));

    let since = Instant::now();
    let reply = server
        .exchange(format!(
            "{head}expect: 100-continue\r\ncontent-length: 1001\r\n\r\n"
        ))
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large"),
        "instead of 100"
    );
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "nothing of the body was waited for"
    );
}

#[tokio::test]
async fn a_bomb_is_refused_in_no_time() {
    let server = start(router(Echo::new())).await;
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    let since = Instant::now();
    let reply = server.post_with(CHAT, "content-encoding: gzip\r\n", &bomb).await;
    assert_eq!(reply.status, 413);
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
}

#[tokio::test]
async fn malformed_json_is_refused_although_the_module_would_not_look() {
    let (module, kept) = keeps();
    let server = start(router(module)).await;
    assert_eq!(server.post(CHAT, "{\"model\":\"x\"").await.status, 400);
    assert!(kept.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_listed_header_travels_and_no_other() {
    let (module, kept) = keeps();
    let server = start(router(module)).await;
    let headers = "traceparent: 00-1-2-01\r\ntracestate: a=b\r\nauthorization: Bearer secret\r\ncookie: a=b\r\n\
                   x-forwarded-for: 1.2.3.4\r\nx-request-id: my-1\r\nx-synapse-deadline-ms: 5000\r\n";
    let body = chat(false);
    let before = Instant::now();
    let reply = server
        .post_with(&format!("{CHAT}?v=1"), headers, body.as_bytes())
        .await;
    assert_eq!(reply.header("x-request-id"), Some("my-1"));
    let input = kept.lock().unwrap().take().unwrap();
    let wire = input.wire().unwrap();
    let mut names: Vec<_> = wire.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["traceparent", "tracestate", "x-request-id"]);
    assert_eq!(
        (wire.body(), wire.path()),
        (&body.into(), "/v1/chat/completions?v=1")
    );
    let extensions = input.extensions();
    assert_eq!(extensions.get::<RequestId>().unwrap().as_str(), "my-1");
    assert_eq!(extensions.get::<Caller>().unwrap().id().as_str(), "ip:127.0.0.1");
    assert!(extensions.get::<PeerAddr>().unwrap().0.ip().is_loopback());
    let left = extensions.get::<Deadline>().unwrap().instant() - before;
    assert!(left > Duration::from_secs(4) && left < Duration::from_secs(6));
}

#[tokio::test]
async fn a_caller_without_a_name_is_its_network() {
    for (address, caller) in [
        ("192.0.2.7", "ip:192.0.2.7"),
        ("::ffff:192.0.2.7", "ip:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
    ] {
        let (module, kept) = keeps();
        let near = TrustedProxies::new(["127.0.0.1".parse().unwrap()]);
        let server = start(router(module).trusted_proxies(near)).await;
        let header = format!("x-forwarded-for: {address}\r\n");
        server.post_with(CHAT, &header, chat(false).as_bytes()).await;
        let input = kept.lock().unwrap().take().unwrap();
        assert_eq!(input.extensions().get::<Caller>().unwrap().id().as_str(), caller);
    }
}

#[tokio::test]
async fn a_request_id_that_is_not_plain_is_replaced() {
    let server = start(router(Echo::new())).await;
    let long = "a".repeat(129);
    for given in ["", "two words", "a\"b", "<script>", &long] {
        let reply = server
            .post_with(
                CHAT,
                &format!("x-request-id: {given}\r\n"),
                chat(false).as_bytes(),
            )
            .await;
        let id = reply.header("x-request-id").unwrap();
        assert!(id != given && id.len() == 32, "{given:?} became {id:?}");
    }
    let (one, two) = (server.get("/nowhere").await, server.get("/health/live").await);
    assert_ne!(
        one.header("x-request-id").unwrap(),
        two.header("x-request-id").unwrap()
    );
}

#[tokio::test]
async fn what_a_layer_puts_on_the_request_reaches_the_module_and_probes_need_no_key() {
    #[derive(Debug, Clone, PartialEq)]
    struct Tenant(u8);
    let (module, kept) = keeps();
    let keys = axum::middleware::from_fn(
        |mut request: axum::extract::Request, next: axum::middleware::Next| async {
            if request.headers().get("authorization").is_none() {
                return http::Response::builder()
                    .status(401)
                    .body("no key".into())
                    .unwrap();
            }
            request.extensions_mut().insert(Caller::new("key:7"));
            request.extensions_mut().insert(Tenant(7));
            next.run(request).await
        },
    );
    let more = axum::Router::new().route("/more", axum::routing::get(|| async { "more" }));
    let server = start(router(module).merge(more).layer(keys)).await;
    for (path, status) in [
        ("/v1/models", 401),
        ("/metrics", 401),
        ("/more", 401),
        ("/nowhere", 401),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    assert_eq!(
        (
            server.get("/health/live").await.status,
            server.get("/health/ready").await.status
        ),
        (200, 200)
    );
    let reply = server
        .post_with(CHAT, "authorization: Bearer x\r\n", chat(false).as_bytes())
        .await;
    assert_eq!(reply.status, 200);
    let input = kept.lock().unwrap().take().unwrap();
    assert_eq!(input.extensions().get::<Caller>().unwrap().id().as_str(), "key:7");
    assert_eq!(input.extensions().get(), Some(&Tenant(7)));
}
