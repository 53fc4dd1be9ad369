//! A fake engine, so that its pace is known: it computes nothing, and streams as many tokens as it is asked for, one every
//! so often, to as many at once as it has slots. Whoever finds none waits inside it, first come first served.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::Fault;

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"bench"}]}"#;
const TOKEN: &[u8] = b"data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";

pub(crate) async fn run(every_ms: u64, slots: usize) -> Result<(), Fault> {
    let (every, slots) = (
        Duration::from_millis(every_ms),
        Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let slots = slots.clone();
        let answer = service_fn(move |request| answer(request, every, slots.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    every: Duration,
    slots: Arc<Semaphore>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let reply = |content_type: &str, status: u16, body: BoxBody<Bytes, Infallible>| {
        Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(body)
            .expect("a valid response")
    };
    let path = request.uri().path().to_owned();
    if path == "/v1/models" {
        let body = Full::new(Bytes::from_static(MODELS.as_bytes())).boxed();
        return Ok(reply("application/json", 200, body));
    }
    if path != "/v1/chat/completions" {
        return Ok(reply("application/json", 404, Full::default().boxed()));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let tokens = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|body| body["max_tokens"].as_u64())
        .unwrap_or(1);
    let slot = slots.acquire_owned().await.expect("nobody closes it");
    let begun = Instant::now();
    let events = stream::unfold((0_u64, slot), move |(sent, slot)| async move {
        if sent > tokens {
            return None;
        }
        // By the clock, not after the last one: who is late once is not late for the rest.
        let due = u32::try_from(sent.min(tokens - 1) + 1).unwrap_or(u32::MAX);
        sleep_until(begun + every * due).await;
        let event = match sent == tokens {
            true => Bytes::from_static(b"data: [DONE]\n\n"),
            false => Bytes::from_static(TOKEN),
        };
        Some((Ok(Frame::data(event)), (sent + 1, slot)))
    });
    Ok(reply("text/event-stream", 200, StreamBody::new(events).boxed()))
}
