//! What of an engine is reachable through a miner: inference, and nothing else.

use parts::llama_server::{MODEL, Start};
use subnet_tests::serve;
use synapse_miner::inference::LlamaServerModule;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The status of a reply to this, sent as it is: clients would tidy some of these paths.
async fn status(address: std::net::SocketAddr, method: &str, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: miner\r\nconnection: close\r\ncontent-type: application/json\r\n\
        content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8_lossy(&reply);
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{method} {path}: {reply:?}"))
}

#[tokio::test]
async fn an_engines_own_doors_are_shut() {
    // All of them are open at the engine itself; it notes every request.
    let slots = tempfile::tempdir().expect("a directory");
    let slots = slots.path().to_str().expect("a path");
    let flags = [
        "--metrics",
        "--slots",
        "--props",
        "--slot-save-path",
        slots,
        "--verbosity",
        "5",
    ];
    let engine = Start::new().flags(&flags).start();
    assert_eq!(
        status(engine.address(), "POST", "/slots/0?action=erase", "{}").await,
        200
    );
    assert_eq!(status(engine.address(), "GET", "/props", "").await, 200);
    let module = LlamaServerModule::connect(&engine.url())
        .await
        .expect("a llama-server");
    let miner = serve(synapse_http::router(module)).await.expect("a server");
    let before = engine.log().matches("erase").count();

    for (method, path) in [
        ("POST", "/slots/0?action=erase"),
        ("POST", "/slots/0?action=save"),
        ("POST", "/slots?action=erase"),
        ("GET", "/slots"),
        ("GET", "/props"),
        ("POST", "/props"),
        ("GET", "/lora-adapters"),
        ("POST", "/lora-adapters"),
        ("POST", "/completion"),
        ("POST", "/completions"),
        ("POST", "/infill"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
        ("POST", "/apply-template"),
        ("POST", "/embedding"),
        ("POST", "/models/load"),
        ("POST", "/models/unload"),
        ("POST", "/v1/slots/0?action=erase"),
        ("POST", "/v1/chat/completions/../../slots/0?action=erase"),
        ("POST", "/v1/chat/completions/%2e%2e/%2e%2e/slots/0?action=erase"),
        ("POST", "//slots/0?action=erase"),
        ("POST", "/v1/models/../../props"),
        ("GET", "/v1/models/../../props"),
        ("GET", "/v1/models/..%2f..%2fprops"),
    ] {
        let body =
            format!(r#"{{"model":"{MODEL}","filename":"x","content":"x","prompt":"x","max_tokens":1}}"#);
        let status = status(miner.address(), method, path, &body).await;
        assert!(
            matches!(status, 400 | 404 | 405),
            "{method} {path} is answered with {status}"
        );
    }
    assert_eq!(engine.log().matches("erase").count(), before, "{}", engine.log());
    let body =
        format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"Hi"}}],"max_tokens":2}}"#);
    assert_eq!(
        status(miner.address(), "POST", "/v1/chat/completions", &body).await,
        200
    );
    miner.stop().await.expect("it ends");
}
