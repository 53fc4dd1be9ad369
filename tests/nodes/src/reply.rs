//! A reply, as an OpenAI client sees it.

use std::{error::Error, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, task::AbortHandle};

type Failure = Box<dyn Error + Send + Sync>;

/// How a stream ended, as its client can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With its last event.
    Complete,
    /// With an error event.
    Error,
    /// Without either: what must never be.
    Silent,
}

/// A reply whose head is there. The rest comes as it is read; dropped, it closes its connection.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
    connection: AbortHandle,
}

impl Reply {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The node that served it.
    #[must_use]
    pub fn miner(&self) -> Option<&str> {
        self.headers.get("x-synapse-miner")?.to_str().ok()
    }

    /// Which request it was.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.headers.get("x-request-id")?.to_str().ok()
    }

    /// Reads to the end, however that comes, and returns all of it.
    pub async fn text(&mut self) -> String {
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Some(data) = frame.data_ref() {
                self.read.extend_from_slice(data);
            }
        }
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads a stream of events to its end, and says how it ended.
    pub async fn ending(&mut self) -> Ending {
        let text = self.text().await;
        let events = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "));
        match events.last() {
            Some("[DONE]") => Ending::Complete,
            Some(event) if event.starts_with(r#"{"error""#) => Ending::Error,
            _ => Ending::Silent,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks for a streamed chat completion, on a connection of its own. Resolves at its head, which is there with the first
/// content.
///
/// # Errors
/// Where there is none.
pub async fn ask(gateway: SocketAddr, prompt: &str) -> Result<Reply, Failure> {
    chat(gateway, prompt, true).await
}

/// The same, not streamed: its head is there when all of it is.
///
/// # Errors
/// Where there is none.
pub async fn ask_whole(gateway: SocketAddr, prompt: &str) -> Result<Reply, Failure> {
    chat(gateway, prompt, false).await
}

async fn chat(gateway: SocketAddr, prompt: &str, stream: bool) -> Result<Reply, Failure> {
    let body = json!({"model": "shout", "stream": stream, "messages": [{"role": "user", "content": prompt}]});
    post(gateway, "/v1/chat/completions", &body.to_string()).await
}

/// Sends JSON to a path, on a connection of its own. Resolves at the reply's head.
///
/// # Errors
/// Where there is none.
pub async fn post(node: SocketAddr, path: &str, body: &str) -> Result<Reply, Failure> {
    let request = Request::post(path)
        .header("host", node.to_string())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
    send(node, request).await
}

/// Asks for a path, on a connection of its own. Resolves at the reply's head.
///
/// # Errors
/// Where there is none.
pub async fn get(node: SocketAddr, path: &str) -> Result<Reply, Failure> {
    let request = Request::get(path)
        .header("host", node.to_string())
        .body(Full::default())?;
    send(node, request).await
}

async fn send(node: SocketAddr, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
    let socket = TcpStream::connect(node).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection).abort_handle();
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
        read: Vec::new(),
        connection,
    })
}
