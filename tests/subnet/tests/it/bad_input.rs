//! What a client can send that is wrong, and what he is told: no client's fault is a 5xx, no failure a 2xx.

use std::{fmt::Write as _, io::Write as _, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use subnet_tests::{Gateway, send, serve};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, FinishReason, ModelInfo, ModuleCapabilities, ModuleExt, Output,
    Task, layers::DeadlineLayer, testkit::Scripted,
};
use synapse_validator::{Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceBuilder;

use crate::bad_input_sent::{CHAT, MODELS, chat, post};

/// Bytes of a request that are taken.
pub(crate) const MOST_BYTES: usize = 2 * 1024 * 1024;

/// A miner that misbehaves in the way its model is called.
pub(crate) fn miner() -> Scripted {
    let mut capabilities = ModuleCapabilities::new("models")
        .with_task(Task::CHAT)
        .with_task(Task::TEXT_COMPLETION)
        .with_streaming();
    for model in MODELS {
        capabilities = capabilities.with_model(ModelInfo::new(model).with_context_length(64));
    }
    Scripted::new(|input| async move {
        let request = input.request()?.into_owned();
        let words: usize = request
            .messages()
            .iter()
            .filter_map(|message| Some(message.content.text()?.split(' ').count()))
            .sum();
        if words > 64 && request.model != "vast" {
            return Err(Error::invalid(
                "context_length_exceeded",
                format!("the prompt has {words} tokens, and the context 64"),
            )
            .with_param("messages"));
        }
        let good = [Delta::text("fine"), Delta::finish(FinishReason::Stop)];
        let half = stream::iter(0..2).map(|at| {
            assert!(at == 0, "panics midway");
            Ok(Chunk::delta(Delta::text("half")))
        });
        match request.model.as_str() {
            "panics" => panic!("as its name says"),
            "panics-midway" => Ok(Output::new(Body::new(half))),
            "never" => std::future::pending().await,
            "refuses" => Err(
                Error::new(ErrorKind::Overloaded, "queue_full", "all places are taken")
                    .with_retry(synapse_core::Retry::After(Duration::from_secs(3))),
            ),
            "fails" => Err(Error::unavailable("engine_down", "the engine does not run")),
            _ => Ok(Output::new(Body::from_deltas(good))),
        }
    })
    .with_capabilities(capabilities)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn requests() -> Vec<(&'static str, Request<Full<Bytes>>)> {
    let raw = |body: &str| post(CHAT, &[], body.as_bytes().to_vec());
    let with = |fields: Value| post(CHAT, &[], chat(&fields));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    vec![
        ("a good request", with(json!({}))),
        ("an empty body", raw("")),
        ("invalid JSON", raw("{\"model\": ")),
        ("JSON with something after it", raw("{} {}")),
        ("not an object", raw("[1, 2]")),
        (
            "invalid UTF-8",
            post(CHAT, &[], b"{\"model\": \"\xff\"}".to_vec()),
        ),
        (
            "no model",
            raw(r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        ),
        ("a model that is a number", with(json!({"model": 7}))),
        ("an unknown model", with(json!({"model": "gpt-17"}))),
        ("no messages", raw(r#"{"model":"good"}"#)),
        ("empty messages", with(json!({"messages": []}))),
        ("messages that are a text", with(json!({"messages": "hi"}))),
        (
            "a message without a role",
            with(json!({"messages": [{"content": "hi"}]})),
        ),
        (
            "a prompt over the context",
            with(json!({"messages": [{"role": "user", "content": "word ".repeat(100)}]})),
        ),
        ("negative max_tokens", with(json!({"max_tokens": -1}))),
        ("max_tokens of zero", with(json!({"max_tokens": 0}))),
        (
            "huge max_tokens",
            raw(r#"{"model":"good","messages":[{"role":"user","content":"hi"}],"max_tokens":1e30}"#),
        ),
        ("max_tokens as a text", with(json!({"max_tokens": "many"}))),
        ("fractional max_tokens", with(json!({"max_tokens": 1.5}))),
        (
            "NaN temperature",
            raw(r#"{"model":"good","messages":[{"role":"user","content":"hi"}],"temperature":NaN}"#),
        ),
        (
            "temperature of 1e400",
            raw(r#"{"model":"good","messages":[{"role":"user","content":"hi"}],"temperature":1e400}"#),
        ),
        ("temperature over the range", with(json!({"temperature": 2.5}))),
        ("top_p of zero", with(json!({"top_p": 0}))),
        ("n of zero", with(json!({"n": 0}))),
        ("stream as a text", with(json!({"stream": "yes"}))),
        ("top_logprobs without logprobs", with(json!({"top_logprobs": 3}))),
        (
            "a field twice",
            raw(r#"{"model":"good","model":"evil","messages":[{"role":"user","content":"hi"}]}"#),
        ),
        (
            "a field twice, once escaped",
            raw(r#"{"model":"good","mod\u0065l":"evil","messages":[{"role":"user","content":"hi"}]}"#),
        ),
        (
            "a field in another case",
            raw(r#"{"model":"good","messages":[{"role":"user","content":"hi"}],"MAX_TOKENS":5}"#),
        ),
        (
            "a message's field twice",
            raw(r#"{"model":"good","messages":[{"role":"user","role":"system","content":"hi"}]}"#),
        ),
        (
            "fields in another case, twice, inside tool schemas",
            with(
                json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"Model": 1, "model": 2, "MAX_TOKENS": 3}}}]}),
            ),
        ),
        (
            "fields in another case, twice, inside metadata",
            raw(
                r#"{"model":"good","messages":[{"role":"user","content":"hi"}],"metadata":{"a":1,"a":2,"Model":"x"}}"#,
            ),
        ),
        (
            "deep nesting",
            raw(&format!(
                r#"{{"model":"good","messages":[{{"role":"user","content":"hi"}}],"x":{}}}"#,
                deep(5_000)
            )),
        ),
        ("very deep nesting", raw(&deep(100_000))),
        (
            "a body over the limit",
            post(CHAT, &[], chat(&json!({"user": "x".repeat(MOST_BYTES)}))),
        ),
        (
            "a gzip bomb",
            post(
                CHAT,
                &[("content-encoding", "gzip")],
                gzip(&vec![b' '; 50_000_000]),
            ),
        ),
        (
            "gzip that is none",
            post(CHAT, &[("content-encoding", "gzip")], b"{}".to_vec()),
        ),
        (
            "a good request, gzipped",
            post(CHAT, &[("content-encoding", "gzip")], gzip(&chat(&json!({})))),
        ),
        (
            "an unknown encoding",
            post(CHAT, &[("content-encoding", "snappy")], chat(&json!({}))),
        ),
        (
            "a body that is no JSON by its type",
            post(CHAT, &[("content-type", "text/plain")], chat(&json!({}))),
        ),
        ("a route that is none", post("/v1/chat", &[], chat(&json!({})))),
        (
            "another method",
            Request::get(CHAT)
                .header("host", "localhost")
                .body(Full::default())
                .unwrap(),
        ),
        (
            "a task that the model cannot do",
            post(
                "/v1/embeddings",
                &[],
                json!({"model": "good", "input": "x"}).to_string().into_bytes(),
            ),
        ),
        (
            "embeddings of nothing",
            post(
                "/v1/embeddings",
                &[],
                json!({"model": "good", "input": []}).to_string().into_bytes(),
            ),
        ),
        (
            "a completion without a prompt",
            post(
                "/v1/completions",
                &[],
                json!({"model": "good"}).to_string().into_bytes(),
            ),
        ),
        ("a module that panics", with(json!({"model": "panics"}))),
        (
            "a module that panics midway, whole reply",
            with(json!({"model": "panics-midway"})),
        ),
        ("a module that never answers", with(json!({"model": "never"}))),
        ("a module that refuses for now", with(json!({"model": "refuses"}))),
        ("a module whose engine is down", with(json!({"model": "fails"}))),
        (
            "more tokens than the quota ever allows",
            with(json!({"max_tokens": 2_000_000})),
        ),
    ]
}

/// Requests that no HTTP client would send: (name, bytes on the socket).
pub(crate) fn raw_requests() -> Vec<(&'static str, Vec<u8>)> {
    let body = chat(&json!({}));
    let with = |headers: &str| {
        let mut bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    };
    vec![
        (
            "CRLF inside a header, which makes it two: the second does not travel",
            with("x-request-id: a\r\nx-evil: b\r\n"),
        ),
        (
            "a bare CR inside a header",
            with("x-request-id: a\rx-evil: b\r\n"),
        ),
        ("a folded header", with("x-request-id: a\r\n b\r\n")),
        ("both length and chunked", with("transfer-encoding: chunked\r\n")),
        ("two lengths", with("content-length: 3\r\n")),
        (
            "a header line of 1 MB",
            with(&format!("x-long: {}\r\n", "a".repeat(1_000_000))),
        ),
    ]
}

async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut reply = Vec::new();
    let (mut reader, mut writer) = socket.split();
    let write = async {
        let _ = writer.write_all(bytes).await;
    };
    let read = async {
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            while !reply.windows(4).any(|window| window == b"\r\n\r\n") {
                if reader.read_buf(&mut reply).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        })
        .await;
    };
    tokio::join!(write, read);
    String::from_utf8_lossy(&reply)
        .lines()
        .next()
        .unwrap_or("closed")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_has_its_answer() {
    let gateway = Gateway::over(vec![serve(synapse_http::router(miner())).await.unwrap()])
        .await
        .unwrap();
    let stack = gateway.pool().with(
        ServiceBuilder::new()
            .layer(TraceLayer::new())
            .layer(TokenCountLayer::new(Tokenizers::new()))
            .layer(RateLimitLayer::per_caller(
                Quota::requests_per_minute(10_000).and(Quota::tokens_per_day(1_000_000)),
            ))
            .layer(DeadlineLayer::new(Duration::from_secs(2))),
    );
    let api = synapse_http::Api::builder(stack)
        .max_body_bytes(MOST_BYTES)
        .build();
    let door = serve(api).await.unwrap();

    let mut table = String::from("input | status | code | retry after\n--- | --- | --- | ---\n");
    for (name, request) in requests() {
        let reply = send(door.address(), request).await.unwrap();
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let code = body["error"]["code"].as_str().unwrap_or("–");
        let ours = [
            "a module that panics",
            "a module that never",
            "a module that refuses",
            "a module whose",
        ];
        let whose = if ours.iter().any(|fault| name.starts_with(fault)) {
            5
        } else {
            4
        };
        assert!(
            reply.status.is_success() || reply.status.as_u16() / 100 == whose,
            "{name}: {}",
            reply.status
        );
        let retry = reply
            .headers
            .get("retry-after")
            .map_or("–", |value| value.to_str().unwrap());
        writeln!(table, "{name} | {} | {code} | {retry}", reply.status.as_u16()).unwrap();
        assert_eq!(
            reply.status.is_success(),
            body["error"].is_null(),
            "{name}: {body}"
        );
        if !reply.status.is_success() {
            assert!(
                body["error"]["message"]
                    .as_str()
                    .is_some_and(|message| message.len() > 8),
                "{name}: {body}"
            );
        }
    }
    for (name, bytes) in raw_requests() {
        writeln!(table, "{name} | {} | – | –", raw(door.address(), &bytes).await).unwrap();
    }
    insta::assert_snapshot!(table);

    let good = send(
        door.address(),
        post("/v1/chat/completions", &[], chat(&json!({}))),
    )
    .await
    .unwrap();
    assert_eq!(good.status, 200, "it still answers after all that");
    door.stop().await.unwrap();
    gateway.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_panics_midway_breaks_the_stream_with_an_error_event() {
    let gateway = Gateway::over(vec![serve(synapse_http::router(miner())).await.unwrap()])
        .await
        .unwrap();
    let door = serve(synapse_http::router(gateway.pool())).await.unwrap();
    let request = post(
        "/v1/chat/completions",
        &[],
        chat(&json!({"model": "panics-midway", "stream": true})),
    );
    let reply = send(door.address(), request).await.unwrap();
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200);
    assert!(
        text.contains("half") && text.contains("module_panicked"),
        "{text}"
    );
    assert!(!text.contains("[DONE]"), "{text}");
    door.stop().await.unwrap();
    gateway.stop().await.unwrap();
}
