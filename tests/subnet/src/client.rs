//! A client that sees bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A reply as it came.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it came.
    pub body: Bytes,
    /// Whether the body broke off.
    pub broken: bool,
}

/// Sends a JSON body on a connection of its own.
///
/// # Errors
/// Where there is no reply at all.
///
/// # Panics
/// Where `path` is none.
pub async fn post(
    address: SocketAddr,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::post(path)
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("a valid path");
    send(address, request).await
}

/// Sends a request on a connection of its own.
///
/// # Errors
/// Where there is no reply at all.
pub async fn send(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
    let socket = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let (head, mut incoming) = sender.send_request(request).await?.into_parts();
    let (mut body, mut broken) = (Vec::new(), false);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    connection.abort();
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body: body.into(),
        broken,
    })
}
