//! An upstream that costs little: it answers with bytes that were made before.

use std::{convert::Infallible, sync::OnceLock};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Fault;

const EVENTS: usize = 100;

pub(crate) async fn run() -> Result<(), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http://127.0.0.1:{}", listener.local_addr()?.port());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let json = |body: &'static str| {
        Response::builder()
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())).boxed())
            .expect("a valid response")
    };
    if request.uri().path() == "/v1/models" {
        return Ok(json(
            r#"{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"bench"}]}"#,
        ));
    }
    if !request.uri().path().starts_with("/v1/chat") {
        return Ok(Response::builder()
            .status(404)
            .body(Full::default().boxed())
            .expect("a valid response"));
    }
    let body = request.into_body().collect().await?.to_bytes();
    if !body.windows(13).any(|part| part == br#""stream":true"#) {
        return Ok(json(
            r#"{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Red, yellow and blue."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15}}"#,
        ));
    }
    let events = (0..=EVENTS).map(|at| {
        Ok(Frame::data(if at < EVENTS {
            event()
        } else {
            Bytes::from_static(b"data: [DONE]\n\n")
        }))
    });
    Ok(Response::builder()
        .header("content-type", "text/event-stream")
        .body(StreamBody::new(stream::iter(events)).boxed())
        .expect("a valid response"))
}

fn event() -> Bytes {
    static EVENT: OnceLock<Bytes> = OnceLock::new();
    EVENT
        .get_or_init(|| {
            Bytes::from_static(
                b"data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n",
            )
        })
        .clone()
}
