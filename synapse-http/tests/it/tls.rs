//! A server's TLS: what it costs a peer, how it ends, how its certificate changes.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::KeyPair;
use rustls::{RootCertStore, crypto::ring};
use synapse_core::{
    InferenceModule,
    testkit::{Echo, ManualClock},
};
use synapse_http::{
    PeerAddr, Server, router,
    tls::{NodeTls, PemFiles},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    modules::Stepwise,
    server::{PATIENCE, Reply, chat, post_head, start, start_with},
    tls_hop::{ask, dial, echoes, key, node, ordinary, reach, refusal, rest, shown, text},
};

const SHORT: Duration = Duration::from_millis(200);
const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
const LAST: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_handshake_that_is_silent_or_drips_is_cut_off_and_holds_nobody_up() {
    let (alice, tls) = node("//Alice").await;
    let server = start_with(router(Echo::new()), |server| {
        server.tls(tls).header_timeout(SHORT * 2)
    })
    .await;
    let since = Instant::now();
    let mut silent = server.connect().await;
    let mut dripping = server.connect().await;
    dripping.write_all(&[0x16]).await.unwrap();
    let drip = async {
        while dripping.write_all(&[3]).await.is_ok() {
            sleep(SHORT / 4).await;
        }
    };
    let others = async {
        echoes(&reach(server.address, &alice).build().unwrap()).await;
        assert!(
            since.elapsed() < SHORT * 2,
            "nobody waits for the slow: {:?}",
            since.elapsed()
        );
    };
    let closed = async {
        let mut sink = [0; 64];
        let end = silent.read(&mut sink).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "the kernel keeps nothing");
    };
    timeout(PATIENCE, async { tokio::join!(drip, others, closed) })
        .await
        .expect("both are closed in time");
    assert!(since.elapsed() >= SHORT * 2 && since.elapsed() < SHORT * 20);
}

#[tokio::test]
async fn handshakes_hold_a_place() {
    let (_, tls) = node("//Alice").await;
    let server = start_with(router(Echo::new()), |server| server.tls(tls).max_connections(1)).await;
    let silent = server.connect().await;
    let mut next = std::pin::pin!(dial(&server));
    assert!(timeout(SHORT, &mut next).await.is_err(), "there is no place");
    drop(silent);
    timeout(PATIENCE, next).await.expect("now there is");
}

#[tokio::test]
async fn plain_text_on_a_tls_port_and_tls_on_a_plain_port_do_no_harm() {
    let (alice, tls) = node("//Alice").await;
    let server = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    for junk in [LIVE, b"\x00\x01\x02", b"\x16\x03\x01\xff\xff", b"\n"] {
        let mut stream = server.connect().await;
        stream.write_all(junk).await.unwrap();
        stream.shutdown().await.unwrap();
        let reply = Reply::read(&mut stream).await;
        assert!(reply.status == 0 && !reply.head.contains("alive"), "{reply:?}");
    }
    let plain = synapse_http::OpenAiModule::builder(format!("http://{}", server.address))
        .node_key(alice.clone())
        .allow_loopback(true);
    let error = refusal(plain).await;
    assert_eq!(error.code(), "no_reply", "and no TLS is tried instead: {error:?}");
    echoes(&reach(server.address, &alice).build().unwrap()).await;

    let server = start(router(Echo::new())).await;
    assert_eq!(
        refusal(reach(server.address, &alice)).await.code(),
        "tls_downgraded"
    );
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn framing_is_looked_at_beneath_tls() {
    let (_, tls) = node("//Alice").await;
    let server = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    for head in [
        "GET /health/live HTTP/1.1\nhost: x\n\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut stream = dial(&server).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let (reply, end) = rest(&mut stream).await;
        assert!(
            reply.starts_with(b"HTTP/1.1 400 "),
            "{:?}",
            String::from_utf8_lossy(&reply)
        );
        end.unwrap();
    }
}

#[tokio::test]
async fn a_clean_end_says_so_and_a_time_out_does_not() {
    let (_, tls) = node("//Alice").await;
    let server = start_with(router(Echo::new()), |server| {
        server.tls(tls).header_timeout(SHORT)
    })
    .await;
    let mut stream = dial(&server).await;
    stream.write_all(LAST).await.unwrap();
    let (reply, end) = rest(&mut stream).await;
    assert!(reply.starts_with(b"HTTP/1.1 200 "));
    end.expect("close_notify came");

    let mut stream = dial(&server).await;
    stream.write_all(b"GET /health").await.unwrap();
    let (_, end) = rest(&mut stream).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let (_, tls) = node("//Alice").await;
    let module = Stepwise::default();
    module.sends([b"data: {\"pad\":\"", &[b'x'; 256 * 1024][..], b"\"}\n\n"].concat());
    module.step(1000);
    let server = start_with(router(module.clone()), |server| {
        server.tls(tls).write_timeout(SHORT)
    })
    .await;
    let body = chat(true).replace("\"stream\"", "\"max_tokens\":900,\"stream\"");
    let mut stream = dial(&server).await;
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
}

#[tokio::test]
async fn a_reply_whose_last_bytes_nobody_takes_is_cut_off_too() {
    let (_, tls) = node("//Alice").await;
    let module = Stepwise::default();
    // More than the kernel takes for a client that does not read, and all of it said at once.
    module.sends(
        [
            b"data: {\"pad\":\"",
            &vec![b'x'; 32 * 1024 * 1024][..],
            b"\"}\n\n",
        ]
        .concat(),
    );
    module.step(2);
    let server = start_with(router(module), |server| {
        server.tls(tls).write_timeout(SHORT).max_connections(1)
    })
    .await;
    let body = chat(true).replace("\"stream\"", "\"max_tokens\":1,\"stream\"");
    let mut stream = dial(&server).await;
    stream
        .write_all((post_head("/v1/chat/completions", "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    let mut next = timeout(PATIENCE, dial(&server)).await.expect("its place is free");
    next.write_all(LAST).await.unwrap();
    assert!(rest(&mut next).await.0.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn replies_under_way_end_before_the_server_does() {
    let (alice, tls) = node("//Alice").await;
    let module = Stepwise::default();
    let mut server = start_with(router(module.clone()), |server| server.tls(tls)).await;
    let mut resting = dial(&server).await;
    resting.write_all(LIVE).await.unwrap();
    let mut reply = [0; 4096];
    assert!(resting.read(&mut reply).await.unwrap() > 0);
    let mut unshaken = server.connect().await;
    unshaken.write_all(&[0x16, 3]).await.unwrap();

    module.step(1);
    let asking = reach(server.address, &alice).build().unwrap();
    let body = chat(true);
    let mut stream = dial(&server).await;
    stream
        .write_all((post_head("/v1/chat/completions", "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"n\":1") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    server.stop();
    assert_eq!(
        resting.read(&mut reply).await.unwrap(),
        0,
        "closed in order, at once"
    );
    assert!(TcpStream::connect(server.address).await.is_err());
    module.step(3);
    let (end, closed) = rest(&mut stream).await;
    assert!(end.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"));
    closed.expect("close_notify came");
    assert!(asking.run_inference(ask("late", true)).await.is_err());
    server.ended().await.unwrap();
    assert_eq!(module.endings(), ["complete"]);
}

#[tokio::test]
async fn a_tls_key_is_rotated_while_requests_run() {
    let (alice, tls) = node("//Alice").await;
    let module = Stepwise::default();
    module.sends(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n".to_vec());
    let server = start_with(router(module.clone()), |server| server.tls(tls.clone())).await;
    let mut before = dial(&server).await;
    before.write_all(LIVE).await.unwrap();
    let mut reply = [0; 4096];
    assert!(before.read(&mut reply).await.unwrap() > 0);
    module.step(1);
    let client = reach(server.address, &alice).build().unwrap();
    let running = client.run_inference(ask("go on", true)).await.unwrap();

    tls.rotate().await.unwrap();
    let after = dial(&server).await;
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(shown(&after), tls.certificate().der());
    before.write_all(LAST).await.unwrap();
    assert!(
        rest(&mut before).await.0.starts_with(b"HTTP/1.1 200 "),
        "it goes on"
    );
    module.step(3 + 4 + 4);
    assert_eq!(text(running).await.unwrap(), "xxx");
    let fresh = reach(server.address, &alice).build().unwrap();
    for module in [client, fresh] {
        let output = module.run_inference(ask("again", true)).await.unwrap();
        assert_eq!(text(output).await.unwrap(), "xxx");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_once_half_of_its_time_is_over() {
    let clock = Arc::new(ManualClock::at(SystemTime::now()));
    let tls = NodeTls::builder(key("//Alice"))
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    let first = tls.certificate();
    let server = start_with(router(Echo::new()), |server| server.tls(tls.clone())).await;
    let day = Duration::from_secs(24 * 3600);
    clock.advance(3 * day);
    sleep(day).await;
    assert_eq!(tls.certificate().der(), first.der(), "it has more than half");
    clock.advance(day);
    sleep(day).await;
    let second = tls.certificate();
    assert_ne!(second.der(), first.der());
    assert!(second.claim().not_after() >= first.claim().not_after() + 3 * day);
    assert_ne!(second.claim().tls_key(), first.claim().tls_key());
    server.ended().await.unwrap();
    clock.advance(6 * day);
    sleep(day).await;
    assert_eq!(
        tls.certificate().der(),
        second.der(),
        "nobody renews once it has ended"
    );
}

#[tokio::test]
async fn ordinary_certificates_come_from_files_and_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let write = |der: &[u8], key: &KeyPair| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let pem = |what: &str, der: &[u8]| {
            format!(
                "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
                STANDARD.encode(der)
            )
        };
        std::fs::write(&certificate, pem("CERTIFICATE", der)).unwrap();
        std::fs::write(&private, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    };
    let (first, first_key) = ordinary(vec![]);
    write(&first, &first_key);
    let tls = PemFiles::read(&certificate, &private).unwrap();
    let server = start_with(router(Echo::new()), |server| server.tls(tls.clone())).await;

    let mut roots = RootCertStore::empty();
    roots.add(first.clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(trusting));
    let name = || "localhost".try_into().unwrap();
    let mut stream = connector.connect(name(), server.connect().await).await.unwrap();
    stream.write_all(LAST).await.unwrap();
    assert!(rest(&mut stream).await.0.starts_with(b"HTTP/1.1 200 "));

    let (second, second_key) = ordinary(vec![]);
    write(&second, &first_key);
    assert_eq!(tls.reload().unwrap_err().code(), "tls_files", "another's key");
    std::fs::write(&private, "nothing").unwrap();
    let error = tls.reload().unwrap_err();
    assert!(error.message().contains("key.pem"), "{error}");
    assert_eq!(shown(&dial(&server).await), first.to_vec(), "the old one stays");
    write(&second, &second_key);
    tls.reload().unwrap();
    assert_eq!(shown(&dial(&server).await), second.to_vec());
}

#[tokio::test]
async fn ipv6_and_the_peers_address_are_as_without_tls() {
    let (alice, tls) = node("//Alice").await;
    let api = axum::Router::new().route(
        "/v1/chat/completions",
        axum::routing::post(|request: axum::extract::Request| async move {
            let PeerAddr(peer) = request.extensions().get().copied().unwrap();
            let said =
                serde_json::json!({"choices": [{"index": 0, "message": {"content": peer.ip().to_string()}}]});
            (
                [(http::header::CONTENT_TYPE, "application/json")],
                said.to_string(),
            )
        }),
    );
    let server = match Server::bind("[::1]:0").await {
        Ok(server) => server,
        Err(error) => return eprintln!("SKIPPED: this machine has no IPv6: {error}"),
    };
    let address: SocketAddr = server.local_addr();
    assert!(address.is_ipv6() && address.port() != 0);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(
        server
            .tls(tls)
            .shutdown(async {
                let _ = stopped.await;
            })
            .serve(api),
    );
    let module = reach(address, &alice).build().unwrap();
    let answer = text(module.run_inference(ask("who am I", false)).await.unwrap()).await;
    assert_eq!(answer.unwrap(), "::1");
    drop(stop);
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}
