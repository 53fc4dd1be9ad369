//! A server that demands signatures: which routes, when, and what layers learn of who asks.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, middleware, middleware::Next, routing::get};
use http::Method;
use synapse_core::{
    Body, Caller, Delta, Error, FinishReason, Output, Role, Stake,
    keys::Scheme,
    testkit::{Echo, ManualClock, Scripted},
};
use synapse_http::{
    Api, Server, SignedBy, Verifier, router,
    signed::btauth::{self, Content},
};
use tokio::{io::AsyncWriteExt, sync::oneshot, time::timeout};

use super::{SIGNED_AT, Sent, address, at, bob, key, members};
use crate::server::{PATIENCE, Reply, Running, chat, launch, start};

async fn signed(method: Method, target: &str, body: &str) -> Sent {
    let content = Content {
        method: &method,
        target,
        body: body.as_bytes(),
    };
    let headers = btauth::sign(&*key("//Alice"), content, Some(&address("//Bob")), SIGNED_AT).await;
    Sent {
        headers: headers.unwrap(),
        target: target.to_owned(),
        body: body.into(),
        method,
    }
}

async fn get_signed(running: &Running, target: &str) -> Reply {
    running
        .exchange(signed(Method::GET, target, "").await.bytes())
        .await
}

#[tokio::test]
async fn every_route_but_health_demands_a_signature_wherever_it_was_added() {
    let route = |path: &str| axum::Router::new().route(path, get(|| async { "mine" }));
    let api = router(Echo::new())
        .merge(route("/before"))
        .signed(bob().0)
        .merge(route("/after"));
    let running = start(api).await;
    for path in [
        "/before",
        "/after",
        "/v1/models",
        "/metrics",
        "/synapse/v1/capabilities",
        "/elsewhere",
        "/",
    ] {
        let reply = running.get(path).await;
        assert_eq!((reply.status, &*reply.code()), (401, "malformed_auth"), "{path}");
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(running.get(path).await.status, 200, "{path}");
    }
    for (path, status) in [("/before", 200), ("/v1/models", 200), ("/elsewhere", 404)] {
        // One request, one nonce: each to a server of its own.
        let api = router(Echo::new()).merge(route("/before")).signed(bob().0);
        assert_eq!(get_signed(&start(api).await, path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn layers_and_modules_learn_who_signed() {
    async fn named(request: Request, next: Next) -> axum::response::Response {
        let by = request.extensions().get::<SignedBy>().unwrap();
        let name = by.node().to_string();
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .insert("x-signed-by", name.try_into().unwrap());
        response
    }
    let module = Scripted::new(|input| async move {
        let by = input.extensions().get::<SignedBy>().unwrap();
        assert_eq!(
            (by.role(), by.stake(), by.scheme()),
            (Role::Validator, Stake(1000), Scheme::Sr25519)
        );
        let caller = input.extensions().get::<Caller>().unwrap();
        assert_eq!(caller.id().as_str(), by.node().as_str());
        let said = [Delta::text(by.node().as_str()), Delta::finish(FinishReason::Stop)];
        Ok(Output::new(Body::from_deltas(said)))
    });
    let api = router(module).signed(bob().0).layer(middleware::from_fn(named));
    let sent = signed(
        Method::POST,
        "/v1/chat/completions",
        &chat(false).replace("echo", "scripted"),
    )
    .await;
    let reply = start(api).await.exchange(sent.bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let alice = address("//Alice");
    assert_eq!(reply.json()["choices"][0]["message"]["content"], alice.as_str());
    assert_eq!(
        reply.header("x-signed-by"),
        Some(alice.as_str().to_lowercase().as_str())
    );
}

#[tokio::test]
async fn a_strangers_body_is_not_waited_for_and_a_members_is_bounded() {
    let running = start(router(Echo::new()).signed(bob().0.max_body_bytes(200))).await;
    let head_only = |sent: &Sent| {
        let mut bytes = sent.bytes();
        bytes.truncate(bytes.len() - sent.body.len());
        bytes
    };
    let dave = Sent::signed(&key("//Dave"), Some(&address("//Bob")), 0).await;
    let reply = running.exchange(head_only(&dave)).await;
    assert_eq!((reply.status, &*reply.code()), (401, "unknown_caller"));
    let long = signed(
        Method::POST,
        "/v1/chat/completions",
        &format!("{}{}", chat(false), " ".repeat(200)),
    )
    .await;
    let reply = running.exchange(head_only(&long)).await;
    assert_eq!((reply.status, &*reply.code()), (413, "body_too_large"));
    let short = signed(Method::POST, "/v1/chat/completions", &chat(false)).await;
    assert_eq!(running.exchange(short.bytes()).await.status, 200);
}

#[tokio::test]
async fn a_body_must_come_while_its_signature_is_fresh() {
    let (verifier, clock) = bob();
    let running = start(router(Echo::new()).signed(verifier)).await;
    let sent = signed(Method::POST, "/v1/chat/completions", &chat(false)).await;
    let bytes = sent.bytes();
    let mut stream = running.connect().await;
    stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    clock.advance(Duration::from_secs(11));
    stream.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
    let reply = Reply::read(&mut stream).await;
    assert_eq!((reply.status, &*reply.code()), (401, "stale_request"));
}

#[tokio::test]
async fn the_target_that_was_sent_is_what_counts_wherever_the_routes_are_nested() {
    let nested = || axum::Router::new().nest("/subnet", router(Echo::new()).signed(bob().0).into_router());
    let running = start(Api::from(nested())).await;
    assert_eq!(get_signed(&running, "/subnet/v1/models").await.status, 200);
    let running = start(Api::from(nested())).await;
    let mut inner = signed(Method::GET, "/v1/models", "").await;
    inner.target = "/subnet/v1/models".to_owned();
    let reply = running.exchange(inner.bytes()).await;
    assert_eq!((reply.status, &*reply.code()), (401, "bad_signature"));
}

#[tokio::test]
async fn a_server_is_not_ready_before_it_can_tell_replays() {
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT) - Duration::from_secs(2)));
    let verifier = Verifier::new(address("//Bob"), members()).clock(clock.clone());
    let (ready, is_ready) = oneshot::channel();
    let running = launch(router(Echo::new()).signed(verifier), |server| {
        server.on_ready(move |_| {
            let _ = ready.send(());
        })
    })
    .await;
    let reply = running.get("/health/ready").await;
    assert_eq!(reply.status, 503);
    let reason = reply.json()["reason"].as_str().unwrap().to_owned();
    assert_eq!(
        reason,
        "the node waits for requests signed before its start to expire"
    );
    let sent = signed(Method::POST, "/v1/chat/completions", &chat(false)).await;
    let reply = running.exchange(sent.bytes()).await;
    assert_eq!((reply.status, &*reply.code()), (503, "initialising"));
    clock.advance(Duration::from_secs(3));
    timeout(PATIENCE, is_ready).await.unwrap().unwrap();
    assert_eq!(running.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn embedded_routes_refuse_what_they_cannot_tell_from_replays() {
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT)));
    let verifier = Verifier::new(address("//Bob"), members()).clock(clock);
    let routes = router(Echo::new()).signed(verifier).into_router();
    let sent = signed(Method::POST, "/v1/chat/completions", &chat(false)).await;
    let reply = start(Api::from(routes)).await.exchange(sent.bytes()).await;
    assert_eq!((reply.status, &*reply.code()), (401, "replayed_request"));
}

#[tokio::test]
async fn a_server_waits_for_what_it_is_told_to_and_says_so() {
    let (open, opened) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel();
    let api = router(Echo::new())
        .ready_when("the chain", async {
            opened
                .await
                .map_err(|_| Error::unavailable("no_chain", "the chain is gone"))
        })
        .ready_when("nothing", async { Ok(()) });
    let running = launch(api, |server| {
        server.on_ready(move |_| {
            let _ = ready.send(());
        })
    })
    .await;
    let waits = async {
        while running.get("/health/ready").await.json()["reason"] != "the node waits for the chain" {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap();
    let reply = running.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!((reply.status, &*reply.code()), (503, "initialising"));
    assert_eq!(running.get("/health/live").await.status, 200);
    open.send(()).unwrap();
    timeout(PATIENCE, is_ready).await.unwrap().unwrap();
    assert_eq!(
        running.post("/v1/chat/completions", &chat(false)).await.status,
        200
    );
}

#[tokio::test]
async fn a_server_waits_for_all_that_have_one_name() {
    let (open, opened) = oneshot::channel::<()>();
    let name: Arc<str> = "the chain".into();
    let (first, is_open) = oneshot::channel::<()>();
    let api = router(Echo::new())
        .ready_when(name.clone(), async move {
            let _ = first.send(());
            Ok(())
        })
        .ready_when(name, async move {
            let _ = opened.await;
            Ok(())
        });
    let running = launch(api, |server| server).await;
    timeout(PATIENCE, is_open).await.unwrap().unwrap();
    let waits = async {
        while running.get("/health/ready").await.json()["reason"] != "the node waits for the chain" {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap();
    drop(open);
    let ready = async {
        while running.get("/health/ready").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ready).await.unwrap();
}

#[tokio::test]
async fn what_a_signed_api_counts_is_for_its_operator() {
    let api = router(Echo::new()).signed(bob().0);
    let operators = start(api.metrics_router()).await;
    let members = start(api).await;
    assert_eq!(members.get("/metrics").await.status, 401);
    let reply = get_signed(&members, "/metrics").await;
    assert_eq!((reply.status, &*reply.code()), (404, "unknown_route"));
    let reply = operators.get("/metrics").await;
    let format = Some("text/plain; version=0.0.4; charset=utf-8");
    assert_eq!((reply.status, reply.header("content-type")), (200, format));
    let reply = operators.get("/v1/models").await;
    assert_eq!((reply.status, &*reply.code()), (404, "unknown_route"));
}

#[tokio::test]
async fn a_server_ends_where_what_it_waits_for_fails() {
    let api = router(Echo::new()).ready_when("the chain", async {
        Err(Error::unavailable("no_chain", "the chain is gone"))
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let serving = server.shutdown(std::future::pending()).serve(api);
    let ended = timeout(PATIENCE, serving).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), "no_chain");
}
