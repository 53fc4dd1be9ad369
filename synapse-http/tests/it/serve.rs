//! What a peer may cost.

use std::time::Duration;

use synapse_core::testkit::Echo;
use synapse_http::{Api, Server, router};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    modules::Stepwise,
    server::{PATIENCE, Reply, chat, post_head, start, start_with},
};

const SHORT: Duration = Duration::from_millis(200);

/// How long until the server closes, while `stream` sends `drip` every 40 ms.
async fn survives(mut stream: TcpStream, drip: &'static [u8]) -> Duration {
    let since = Instant::now();
    let (mut read, mut write) = stream.split();
    let dripping = async {
        while write.write_all(drip).await.is_ok() {
            sleep(Duration::from_millis(40)).await;
        }
        std::future::pending::<()>().await;
    };
    let closed = async {
        let mut sink = [0; 1024];
        while matches!(read.read(&mut sink).await, Ok(read) if read > 0) {}
    };
    timeout(PATIENCE, async {
        tokio::select! {
            () = closed => {}
            () = dripping => {}
        }
    })
    .await
    .expect("the server closes in time");
    since.elapsed()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let server = start_with(router(Echo::new()), |server| server.header_timeout(SHORT)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let lived = survives(stream, b"y").await;
    assert!(lived >= SHORT && lived < SHORT * 10, "{lived:?}");
    let lived = survives(server.connect().await, b"").await;
    assert!(
        lived >= SHORT && lived < SHORT * 10,
        "silence from the start: {lived:?}"
    );
}

#[tokio::test]
async fn four_hundred_dripping_heads_leave_room_for_others() {
    let server = start_with(router(Echo::new()), |server| {
        server.header_timeout(SHORT).max_connections(400)
    })
    .await;
    let mut dripping = Vec::new();
    for _ in 0..400 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HT").await.unwrap();
        dripping.push(stream);
    }
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_resting_connection_is_closed_after_the_idle_time_and_not_the_header_time() {
    let server = start_with(router(Echo::new()), |server| {
        server.header_timeout(SHORT).idle_timeout(SHORT * 5)
    })
    .await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut reply = [0; 4096];
        assert!(
            stream.read(&mut reply).await.unwrap() > 0,
            "the connection is used again"
        );
        sleep(SHORT * 3 / 2).await;
    }
    let lived = survives(stream, b"").await;
    assert!(lived >= SHORT * 2 && lived < SHORT * 15, "{lived:?}");
}

#[tokio::test]
async fn the_next_head_has_the_header_time_again() {
    let server = start_with(router(Echo::new()), |server| server.header_timeout(SHORT)).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut reply = [0; 4096];
    assert!(stream.read(&mut reply).await.unwrap() > 0);
    stream.write_all(b"GET /he").await.unwrap();
    let lived = survives(stream, b"a").await;
    assert!(lived >= SHORT / 2 && lived < SHORT * 10, "{lived:?}");
}

#[tokio::test]
async fn a_body_that_pauses_or_drips_is_answered_with_408() {
    let server = start_with(router(Echo::new()), |server| server.body_timeout(SHORT)).await;
    let since = Instant::now();
    let mut stream = server.connect().await;
    stream
        .write_all(post_head("/v1/chat/completions", "", 100).as_bytes())
        .await
        .unwrap();
    let reply = Reply::read(&mut stream).await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "request_timeout"));
    assert!(since.elapsed() >= SHORT);

    let mut stream = server.connect().await;
    stream
        .write_all(post_head("/v1/chat/completions", "", 1000).as_bytes())
        .await
        .unwrap();
    let lived = survives(stream, b" ").await;
    assert!(
        lived < Duration::from_secs(2),
        "no pause is long, and the whole is: {lived:?}"
    );
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_and_its_work_cancelled() {
    let module = Stepwise::default();
    module.sends([b"data: {\"pad\":\"", &[b'x'; 256 * 1024][..], b"\"}\n\n"].concat());
    module.step(1000);
    let server = start_with(router(module.clone()), |server| server.write_timeout(SHORT)).await;
    let body = chat(true).replace("\"stream\"", "\"max_tokens\":900,\"stream\"");
    let mut stream = server.connect().await;
    stream
        .write_all((post_head("/v1/chat/completions", "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    let since = Instant::now();
    while module.endings().is_empty() {
        assert!(since.elapsed() < PATIENCE, "the stream still runs");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(module.endings(), ["dropped"]);
    drop(stream);
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_slow_reply_is_no_slow_reader() {
    let module = Stepwise::default();
    let server = start_with(router(module.clone()), |server| {
        server
            .write_timeout(SHORT / 4)
            .header_timeout(SHORT / 4)
            .idle_timeout(SHORT / 4)
    })
    .await;
    let stepping = module.clone();
    tokio::spawn(async move {
        for _ in 0..4 {
            sleep(SHORT / 2).await;
            stepping.step(1);
        }
    });
    let reply = server.post("/v1/chat/completions", &chat(true)).await;
    assert!(reply.is_whole() && reply.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let server = start_with(router(Echo::new()), |server| server.max_connections(2)).await;
    let first = server.connect().await;
    let _second = server.connect().await;
    let mut third = server.connect().await;
    third
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0; 1];
    assert!(
        timeout(SHORT, third.read(&mut byte)).await.is_err(),
        "there is no place"
    );
    drop(first);
    assert_eq!(
        timeout(PATIENCE, third.read(&mut byte)).await.unwrap().unwrap(),
        1
    );
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share() {
    let server = start_with(router(Echo::new()), |server| server.max_connections_per_peer(1)).await;
    let first = server.connect().await;
    sleep(SHORT / 4).await;
    let mut second = server.connect().await;
    let mut byte = [0; 1];
    assert!(!matches!(timeout(PATIENCE, second.read(&mut byte)).await.unwrap(), Ok(read) if read > 0));
    drop(first);
    sleep(SHORT).await;
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn ambiguous_heads_are_refused() {
    let server = start(router(Echo::new())).await;
    let body = chat(false);
    let (close, length) = (
        "connection: close\r\nhost: x\r\ncontent-type: application/json\r\n",
        body.len(),
    );
    for (why, head) in [
        (
            "a bare LF",
            "GET /health/live HTTP/1.1\nhost: x\nconnection: close\n\n".to_owned(),
        ),
        (
            "a bare CR",
            "GET /health/live HTTP/1.1\r\nhost: x\ry: z\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "a folded line",
            format!("GET /health/live HTTP/1.1\r\n{close}x: 1\r\n 2\r\n\r\n"),
        ),
        (
            "a null byte",
            format!("GET /health/live HTTP/1.1\r\n{close}x: \0\r\n\r\n"),
        ),
        (
            "a space before the colon",
            format!("GET /health/live HTTP/1.1\r\n{close}x : 1\r\n\r\n"),
        ),
        (
            "two lengths",
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{close}content-length: {length}\r\ncontent-length: 3\r\n\r\n{body}"
            ),
        ),
        (
            "length and chunks",
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{close}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "chunks and length",
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{close}transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "chunks that are not last",
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{close}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "HTTP/2 by surprise",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
    ] {
        let reply = server.exchange(head).await;
        assert!(matches!(reply.status, 0 | 400), "{why}: {reply:?}");
    }
    let reply = server.exchange("GET /health/live HTTP/1.1\nhost: x\n\n").await;
    assert_eq!(reply.status, 400, "the refusal arrives");
}

#[tokio::test]
async fn heads_have_limits() {
    let server = start_with(router(Echo::new()), |server| {
        server.max_header_bytes(8192).max_headers(20)
    })
    .await;
    let long = format!(
        "GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    assert_eq!(server.exchange(long).await.status, 431);
    let many = format!("GET /health/live HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(21));
    assert_eq!(server.exchange(many).await.status, 431);
}

#[tokio::test]
async fn a_refused_upload_learns_why_although_it_goes_on_sending() {
    let api = Api::builder(Echo::new()).max_body_bytes(1000);
    let server = start(api).await;
    let mut stream = server.connect().await;
    let size = 4 * 1024 * 1024;
    stream
        .write_all(post_head("/v1/chat/completions", "", size).as_bytes())
        .await
        .unwrap();
    let (mut read, mut write) = stream.split();
    let sent = async { write.write_all(&vec![b' '; size]).await };
    let reply = async {
        let mut bytes = Vec::new();
        let _ = read.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    };
    let (sent, reply) = timeout(PATIENCE, async { tokio::join!(sent, reply) })
        .await
        .unwrap();
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply:?}");
    assert!(sent.is_ok(), "and nothing is reset meanwhile: {sent:?}");
}

#[tokio::test]
async fn a_cut_reply_never_looks_complete_even_in_http_1_0() {
    let module = Stepwise::default();
    let server = start_with(router(module.clone()), |server| server.drain_timeout(SHORT)).await;
    let body = chat(true);
    let head = post_head("/v1/chat/completions", "", body.len()).replace("HTTP/1.1", "HTTP/1.0");
    let mut stream = server.connect().await;
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    module.step(1);
    let mut first = [0; 4096];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    server.ended().await.unwrap();
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(end.is_err(), "reset, not closed in order");
}

#[tokio::test]
async fn a_port_that_cannot_be_had_says_why() {
    let taken = Server::bind("127.0.0.1:0").await.unwrap();
    for (address, code) in [
        (taken.local_addr().to_string(), "address_in_use"),
        ("203.0.113.7:80".to_owned(), "address_not_available"),
        ("127.0.0.1".to_owned(), "bad_address"),
        ("nowhere.invalid:80".to_owned(), "bad_address"),
        ("127.0.0.1:99999".to_owned(), "bad_address"),
    ] {
        let error = Server::bind(&address).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(
            error.to_string().contains(&address) && error.hint().is_some(),
            "{error}"
        );
    }
}
