//! Questions to an engine of ours, on this machine.
//!
//! One request of HTTP/1.0 a connection, since an engine that hangs must not hold one of ours, and a reply so asked for
//! ends where the connection does.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The longest reply, in bytes.
const LONGEST: u64 = 1 << 20;

/// What it answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) async fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Reply> {
    ask(
        address,
        &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n"),
        limit,
    )
    .await
}

pub(super) async fn post(address: SocketAddr, path: &str, json: &str, limit: Duration) -> io::Result<Reply> {
    let length = json.len();
    let head = format!(
        "POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    ask(address, &(head + json), limit).await
}

async fn ask(address: SocketAddr, request: &str, limit: Duration) -> io::Result<Reply> {
    timeout(limit, exchange(address, request))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn exchange(address: SocketAddr, request: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.take(LONGEST).read_to_end(&mut reply).await?;
    parse(reply).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(mut reply: Vec<u8>) -> Option<Reply> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&reply[..end]).ok()?;
    let (version, rest) = head.lines().next()?.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok()?;
    version.starts_with("HTTP/1.").then_some(())?;
    reply.drain(..end + 4);
    Some(Reply { status, body: reply })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_a_status_and_a_body() {
        let read = |text: &str| parse(text.as_bytes().to_vec()).map(|reply| (reply.status, reply.text()));
        let whole = read("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nwait\r\n\r\n");
        assert_eq!(whole, Some((503, "wait\r\n\r\n".to_owned())));
        for broken in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2\r\n\r\n",
            "x 200 OK\r\n\r\n",
        ] {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }
}
