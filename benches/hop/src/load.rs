//! Connections that send requests, one after the other.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Fault;

pub(crate) async fn send(
    port: u16,
    requests: usize,
    connections: usize,
    streamed: bool,
) -> Result<(), Fault> {
    let left = Arc::new(AtomicUsize::new(requests));
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(work(port, left.clone(), streamed)))
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn work(port: u16, left: Arc<AtomicUsize>, streamed: bool) -> Result<(), Fault> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let connection = tokio::spawn(connection);
    let body = Bytes::from(format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Name three primary colours, please."}}],"max_tokens":64,"stream":{streamed}}}"#
    ));
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
    {
        let request = Request::post("/v1/chat/completions")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::new(body.clone()))?;
        sender.ready().await?;
        let reply = sender.send_request(request).await?;
        let status = reply.status();
        let bytes = reply.into_body().collect().await?.to_bytes();
        if !status.is_success() || (streamed && !bytes.ends_with(b"data: [DONE]\n\n")) {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)).into());
        }
    }
    drop(sender);
    connection.await??;
    Ok(())
}
