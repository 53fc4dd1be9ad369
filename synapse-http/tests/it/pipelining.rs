//! Several requests on one connection: where one ends and the next begins.

use synapse_core::testkit::Echo;
use synapse_http::router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, sleep},
};

use super::server::{Reply, chat, post_head, start};

/// Two parsers on the way read this as one request, or as two.
const AMBIGUOUS: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
                         transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends each part once the server has had time to read the one before, and reads until it closes.
async fn statuses(stream: &mut TcpStream, parts: &[&str]) -> Vec<String> {
    for part in parts {
        // The server may have closed by now.
        let _ = stream.write_all(part.as_bytes()).await;
        sleep(Duration::from_millis(50)).await;
    }
    let reply = Reply::read(stream).await;
    let text = reply.head + &String::from_utf8_lossy(&reply.raw).to_lowercase();
    text.split("http/1.1 ")
        .skip(1)
        .map(|reply| reply[..3].to_owned())
        .collect()
}

#[tokio::test]
async fn a_head_behind_a_body_that_nobody_read_is_judged_too() {
    let server = start(router(Echo::new())).await;
    for (path, status) in [
        ("/health/live", "405"),
        ("/nowhere", "404"),
        ("/v1/embeddings", "415"),
    ] {
        let head = post_head(path, "content-type: text/plain\r\n", 1);
        let mut stream = server.connect().await;
        let seen = statuses(&mut stream, &[&format!("{head}x"), AMBIGUOUS]).await;
        assert_eq!(seen, [status], "{path}: the connection is not used again");
        let mut stream = server.connect().await;
        let seen = statuses(&mut stream, &[&head, &format!("x{AMBIGUOUS}")]).await;
        assert_eq!(seen, [status], "{path}, the body later");
    }
}

#[tokio::test]
async fn a_reply_to_an_upload_that_nobody_read_closes_the_connection() {
    let server = start(router(Echo::new())).await;
    let mut stream = server.connect().await;
    let request = post_head("/health/live", "", 1) + "x";
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = Reply::read(&mut stream).await;
    assert_eq!((reply.status, reply.header("connection")), (405, Some("close")));
}

#[tokio::test]
async fn a_pipelined_head_is_judged_too() {
    let server = start(router(Echo::new())).await;
    let body = chat(false);
    let post = post_head("/v1/chat/completions", "", body.len()) + &body;
    for first in [LIVE, &post] {
        let mut stream = server.connect().await;
        let seen = statuses(&mut stream, &[&format!("{first}{AMBIGUOUS}")]).await;
        assert_eq!(seen, ["400"], "{first}");
        let mut stream = server.connect().await;
        let seen = statuses(&mut stream, &[first, AMBIGUOUS]).await;
        assert_eq!(seen, ["200", "400"], "{first}");
    }
}

#[tokio::test]
async fn requests_cut_anywhere_are_served() {
    let server = start(router(Echo::new())).await;
    let body = chat(false).replace(',', ",\n");
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let last = post_head("/v1/chat/completions", "connection: close\r\n", body.len());
    let all = format!("{LIVE}{chunked}{last}{body}");
    // Within a head, within the end of one, and within a body.
    for cut in [
        10,
        LIVE.len() + 5,
        all.len() - body.len() - 2,
        all.len() - body.len() - 1,
        all.len() - 20,
    ] {
        let mut stream = server.connect().await;
        let (one, two) = all.split_at(cut);
        let seen = statuses(&mut stream, &[one, two]).await;
        assert_eq!(seen, ["200", "200", "200"], "cut at {cut}");
    }
    let mut stream = server.connect().await;
    for byte in all.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies.matches("HTTP/1.1 200").count(), 3, "{replies}");
}
