//! Which path answers what.

use synapse_core::{
    Error, MetricsData, ModelInfo, ModuleCapabilities, Task,
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, router};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, Instant},
};

use super::{
    modules::{Counts, HangingHealth, Panics},
    server::{chat, start},
};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_panic_anywhere_is_a_reply() {
    for (module, path) in [
        (Panics::Run, CHAT),
        (Panics::Body, CHAT),
        (Panics::Capabilities, "/v1/models"),
        (Panics::Capabilities, "/v1/models/x"),
        (Panics::Capabilities, "/synapse/v1/capabilities"),
        (Panics::Health, "/health/ready"),
        (Panics::Metrics, "/metrics"),
    ] {
        let server = start(router(module)).await;
        let reply = match path {
            CHAT => server.post(path, &chat(false)).await,
            _ => server.get(path).await,
        };
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (500, "module_panicked"),
            "{module:?}"
        );
        assert!(reply.header("x-request-id").is_some());
        assert_eq!(server.get("/health/live").await.status, 200);
    }
    let layer = axum::middleware::from_fn(|_: axum::extract::Request, _: axum::middleware::Next| async {
        assert!(std::env::args().count() == 0, "told to");
        axum::response::IntoResponse::into_response(())
    });
    let server = start(router(Echo::new()).layer(layer)).await;
    assert_eq!(server.get("/v1/models").await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_hangs_is_unhealthy_sooner_than_a_pool_takes_it_for_silence() {
    let server = start(router(HangingHealth)).await;
    let started = Instant::now();
    let reply = server.get("/health/ready").await;
    assert!(
        started.elapsed() < Duration::from_millis(3_500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (reply.status, &reply.json()["status"]),
        (503, &"unhealthy".into())
    );
    assert_eq!(reply.json()["reason"], "the check takes longer than 3s");
}

#[tokio::test]
async fn models_are_listed_and_found_by_names_with_slashes() {
    let capabilities = ModuleCapabilities::new("engine")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("small").with_context_length(2048))
        .with_model(ModelInfo::new("org/big"));
    let module = Scripted::new(|_| async { Err(Error::internal("unused", "nobody asks")) })
        .with_capabilities(capabilities);
    let server = start(Api::builder(module).node_id("miner-3")).await;
    let list = server.get("/v1/models").await.json();
    assert_eq!(
        (&list["object"], list["data"].as_array().unwrap().len()),
        (&"list".into(), 2)
    );
    let small = server.get("/v1/models/small").await.json();
    assert_eq!(small, list["data"][0]);
    assert_eq!(
        (&small["object"], &small["owned_by"], &small["context_length"]),
        (&"model".into(), &"engine".into(), &2048.into())
    );
    for path in ["/v1/models/org/big", "/v1/models/org%2Fbig"] {
        assert_eq!(server.get(path).await.json()["id"], "org/big");
    }
    let missing = server.get("/v1/models/none").await;
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (404, "model_not_found")
    );
    assert_eq!(server.get("/v1/models/%ff").await.status, 404);
    let said = server.get("/synapse/v1/capabilities").await.json();
    assert_eq!(
        (&said["name"], &said["node_id"]),
        (&"engine".into(), &"miner-3".into())
    );
    let read: ModuleCapabilities = serde_json::from_value(said).unwrap();
    assert_eq!(read.models.len(), 2);
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let mut counted = MetricsData::default();
    counted.counter("queue.refused", 3);
    counted.counter_of("requests", &[("model", "a\"b\\c\nd"), ("code", "200")], 5);
    counted.counter_of("requests", &[("model", "x"), ("code", "500")], 1);
    counted.gauge("queue.waiting", 2.5);
    counted.gauge("queue-waiting", 1.0);
    counted.gauge("rate", f64::INFINITY);
    let server = start(router(Counts(counted))).await;
    let reply = server.get("/metrics").await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(
        reply.text(),
        "# TYPE synapse_queue_refused_total counter\nsynapse_queue_refused_total 3\n\
         # TYPE synapse_queue_waiting gauge\nsynapse_queue_waiting 3.5\n\
         # TYPE synapse_rate gauge\nsynapse_rate +Inf\n\
         # TYPE synapse_requests_total counter\n\
         synapse_requests_total{code=\"200\",model=\"a\\\"b\\\\c\\nd\"} 5\n\
         synapse_requests_total{code=\"500\",model=\"x\"} 1\n"
    );
}

#[tokio::test]
async fn a_connection_serves_again_after_a_stream() {
    let server = start(router(Echo::new())).await;
    let body = chat(true);
    let mut stream = server.connect().await;
    for _ in 0..3 {
        let request = super::server::post_head(CHAT, "", body.len()) + &body;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n0\r\n\r\n") {
            assert!(
                stream.read_buf(&mut seen).await.unwrap() > 0,
                "{:?}",
                String::from_utf8_lossy(&seen)
            );
        }
        assert!(seen.windows(6).any(|window| window == b"[DONE]"));
    }
}

#[tokio::test]
async fn routes_without_a_module_are_served_too() {
    let routes = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let server = start(routes).await;
    assert_eq!(server.get("/").await.text(), "hello");
    server.ended().await.unwrap();
}
