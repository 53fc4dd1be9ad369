//! What of an engine cannot be reached through its miner.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{InferenceModule, ModuleExt};
use synapse_http::{OpenAiModule, Server};
use synapse_miner::QueueLayer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"x"}]}"#;

/// What engines let their operators do, each with a method that it takes.
const MANAGEMENT: &[&str] = &[
    // Ollama
    "POST /api/pull",
    "POST /api/push",
    "POST /api/create",
    "POST /api/copy",
    "DELETE /api/delete",
    "POST /api/delete",
    "POST /api/blobs/sha256:00",
    "HEAD /api/blobs/sha256:00",
    "POST /api/signout",
    "POST /api/me",
    // llama-server
    "GET /slots",
    "POST /slots/0?action=save",
    "POST /slots/0?action=erase",
    "GET /props",
    "POST /props",
    "POST /lora-adapters",
    "POST /models/load",
    "POST /models/unload",
    "POST /completion",
    "POST /tokenize",
    "POST /apply-template",
    // vLLM
    "POST /v1/load_lora_adapter",
    "POST /v1/unload_lora_adapter",
    "POST /sleep",
    "POST /wake_up",
    "POST /reset_prefix_cache",
    "POST /start_profile",
    "POST /collective_rpc",
    "POST /scale_elastic_ep",
    "GET /server_info",
    // The same by a detour
    "DELETE //api/delete",
    "DELETE /v1/../api/delete",
    "DELETE /v1/%2e%2e/api/delete",
    "DELETE /v1/models/../../api/delete",
    "DELETE /v1/models/m/..%2f..%2f..%2fapi%2fdelete",
    "POST /v1/chat/completions/../../../api/pull",
    "POST http://127.0.0.1/api/pull",
];

/// An engine that answers whatever it is asked, and notes it: it stands for one that would do as it is told.
async fn engine() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let noted = noted.clone();
            tokio::spawn(async move {
                let head = head(&mut socket).await;
                let line = head.lines().next().unwrap_or_default().to_owned();
                if !line.starts_with("GET /v1/models ") {
                    noted.lock().unwrap().push(line);
                }
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{MODELS}",
                    MODELS.len()
                );
                let _ = socket.write_all(reply.as_bytes()).await;
            });
        }
    });
    (address, asked)
}

async fn head(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Sends exactly this line, and says with which status it was answered.
async fn status(miner: SocketAddr, line: &str) -> u16 {
    let mut socket = TcpStream::connect(miner).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {miner}\r\ncontent-type: application/json\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{{\"model\":\"m\"}}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let head = timeout(Duration::from_secs(20), head(&mut socket)).await.unwrap();
    head.split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
async fn an_engines_management_endpoints_are_not_reachable_through_its_miner() {
    let (engine, asked) = engine().await;
    let queue = QueueLayer::bounded(8);
    let module = OpenAiModule::connect(&format!("http://{engine}"))
        .await
        .unwrap()
        .with(queue.clone())
        .attach(queue);
    assert_eq!(module.get_capabilities().models[0].id, "m");
    asked.lock().unwrap().clear();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let miner = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel();
    let serving = tokio::spawn(
        server
            .on_ready(move |_| {
                let _ = ready.send(());
            })
            .shutdown(async move {
                let _ = stopped.await;
            })
            .serve(synapse_http::router(module)),
    );
    is_ready.await.unwrap();
    asked.lock().unwrap().clear();
    for line in MANAGEMENT {
        let status = status(miner, line).await;
        assert!(
            matches!(status, 400 | 403 | 404 | 405 | 0),
            "{line} is answered with {status}"
        );
    }
    let reached: Vec<_> = asked.lock().unwrap().clone();
    assert!(reached.is_empty(), "{reached:?}");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
