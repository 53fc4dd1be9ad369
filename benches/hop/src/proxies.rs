//! What is compared.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use synapse_core::{Directory, Endpoint, Member, ModuleExt, Role, Watch};
use synapse_http::{HttpConnect, Server};
use synapse_validator::{MinerPool, P2c, PeakEwma, Quota, RateLimitLayer, TraceLayer};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::{Fault, Kind};

pub(crate) async fn run(kind: Kind, upstream: u16) -> Result<(), Fault> {
    if kind == Kind::Bare {
        return bare(upstream).await;
    }
    let endpoint = Endpoint::http(&format!("http://127.0.0.1:{upstream}"))?;
    let directory = Directory::new(
        [Member::new("miner", Role::Miner).with_endpoint(endpoint)],
        Default::default(),
    );
    let pool = MinerPool::watch(Watch::constant(directory), HttpConnect::new())
        .balance(P2c::new(PeakEwma::default()));
    let server = Server::bind("127.0.0.1:0")
        .await?
        .on_ready(|address| println!("ready http://{address}"));
    if kind == Kind::Stack {
        server.serve(synapse_http::router(pool)).await?;
    } else {
        let quota = Quota::requests_per_minute(1_000_000_000);
        let stack = pool.with(
            ServiceBuilder::new()
                .layer(TraceLayer::new())
                .layer(RateLimitLayer::per_caller(quota)),
        );
        server.serve(synapse_http::router(stack)).await?;
    }
    Ok(())
}

/// hyper on both sides, with a pooled client, and nothing between.
async fn bare(upstream: u16) -> Result<(), Fault> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http://127.0.0.1:{}", listener.local_addr()?.port());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let client = client.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(forward(&client, request, upstream).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

async fn forward(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Incoming>,
    upstream: u16,
) -> Response<BoxBody<Bytes, hyper::Error>> {
    let answer = async {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut forwarded = Request::post(format!("http://127.0.0.1:{upstream}{}", head.uri.path()));
        if let Some(content_type) = head.headers.get("content-type") {
            forwarded = forwarded.header("content-type", content_type);
        }
        Ok::<_, Fault>(
            client
                .request(forwarded.body(Full::new(body))?)
                .await?
                .map(BodyExt::boxed),
        )
    };
    answer.await.unwrap_or_else(|error| {
        let body = Full::new(Bytes::from(error.to_string()))
            .map_err(|never| match never {})
            .boxed();
        Response::builder()
            .status(502)
            .body(body)
            .expect("a valid response")
    })
}
