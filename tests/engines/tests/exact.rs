//! A real Ollama behind a miner behind a validator's gateway: where Ollama speaks the caller's dialect, the caller gets the
//! very bytes that Ollama sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use parts::ollama::{self, MODEL};
use serde_json::{Value, json};
use subnet_tests::{Gateway, post, serve};
use synapse_miner::ollama::OllamaModule;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Stands before a server, and keeps what that sends: a run of bytes a connection.
struct Tapped {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tapped {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(Mutex::new(Vec::new()));
        let keeps = sent.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&server).await.expect("the server");
                tokio::spawn(pass(near, far, keeps.clone()));
            }
        });
        Self { address, sent }
    }

    /// Whether it sent this body. A reply's end comes a moment after all that is in it.
    async fn has_sent(&self, body: &String) -> bool {
        for _ in 0..200 {
            if self.bodies().contains(body) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The bodies of all replies so far.
    fn bodies(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let bodies = sent.iter().flat_map(|connection| bodies(connection));
        bodies
            .map(|body| String::from_utf8(body).expect("text"))
            .collect()
    }
}

async fn pass(near: TcpStream, far: TcpStream, keeps: Arc<Mutex<Vec<Vec<u8>>>>) {
    let at = {
        let mut keeps = keeps.lock().unwrap_or_else(PoisonError::into_inner);
        keeps.push(Vec::new());
        keeps.len() - 1
    };
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_near, &mut to_far).await;
        let _ = to_far.shutdown().await;
    });
    let mut read = [0; 4096];
    while let Ok(count @ 1..) = from_far.read(&mut read).await {
        let bytes = &read[..count];
        keeps.lock().unwrap_or_else(PoisonError::into_inner)[at].extend_from_slice(bytes);
        if to_near.write_all(bytes).await.is_err() {
            break;
        }
    }
}

/// The bodies of the replies on one connection, but for one that is not whole.
fn bodies(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(end) = sent.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&sent[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| {
            line.strip_prefix("content-length: ")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        let body = match length {
            Some(length) => sent
                .get(end + 4..end + 4 + length)
                .map(|body| (body.to_vec(), length)),
            None => unchunked(&sent[end + 4..]),
        };
        let Some((body, took)) = body else { break };
        whole.push(body);
        sent = &sent[end + 4 + took..];
    }
    whole
}

/// A body that came in pieces, and how many bytes it took.
fn unchunked(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut whole, mut at) = (Vec::new(), 0);
    loop {
        let rest = body.get(at..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        whole.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        at += end + 2 + size + 2;
        if size == 0 {
            return Some((whole, at));
        }
    }
}

fn requests() -> Vec<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "Name a colour."}]);
    let tool = json!({"type": "function", "function": {"name": "paint", "description": "Paints a wall.",
        "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}}});
    let schema =
        json!({"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]});
    let few = json!({"num_predict": 12, "seed": 7});
    vec![
        (
            "/v1/chat/completions",
            json!({"model": MODEL, "messages": messages, "max_tokens": 12, "stream": true, "stream_options": {"include_usage": true}}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": MODEL, "messages": messages, "max_tokens": 12, "logprobs": true, "top_logprobs": 2}),
        ),
        (
            "/v1/completions",
            json!({"model": MODEL, "prompt": "Red, green and", "max_tokens": 8}),
        ),
        (
            "/api/chat",
            json!({"model": MODEL, "messages": messages, "options": few}),
        ),
        (
            "/api/chat",
            json!({"model": MODEL, "messages": messages, "options": few, "stream": false, "logprobs": true, "top_logprobs": 2}),
        ),
        (
            "/api/chat",
            json!({"model": MODEL, "messages": messages, "options": few, "stream": false, "format": schema}),
        ),
        (
            "/api/chat",
            json!({"model": MODEL, "messages": messages, "options": few, "stream": false, "keep_alive": "1h", "a_field_of_tomorrow": [1]}),
        ),
        (
            "/api/generate",
            json!({"model": MODEL, "prompt": "Name a colour.", "options": few}),
        ),
        (
            "/api/generate",
            json!({"model": MODEL, "prompt": "Red, green and", "raw": true, "options": few, "stream": false}),
        ),
        // Its template has no room for tools, which Ollama says itself.
        (
            "/api/chat",
            json!({"model": MODEL, "messages": messages, "tools": [tool], "stream": false}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_gets_what_ollama_sent() {
    for kind in ["self-contained", "current"] {
        let ollama = ollama::start(kind);
        let tapped = Tapped::before(ollama.url().replace("http://", "")).await;
        let module = OllamaModule::connect(&format!("http://{}", tapped.address))
            .await
            .expect("an Ollama");
        let miner = serve(synapse_http::router(module)).await.expect("a miner");
        let gateway = Gateway::over(vec![miner]).await.expect("a gateway");
        let door = serve(synapse_http::router(gateway.pool())).await.expect("a door");
        // The model is loaded, so that nothing is asked beside.
        let first = json!({"model": MODEL, "prompt": "Hi", "options": {"num_predict": 1}, "stream": false});
        post(door.address(), "/api/generate", first.to_string())
            .await
            .expect("a reply");
        for (path, body) in requests() {
            let reply = post(door.address(), path, body.to_string())
                .await
                .expect("a reply");
            assert!(!reply.broken, "{kind} {path}");
            let ours = String::from_utf8(reply.body.to_vec()).expect("text");
            if reply.status.is_success() {
                assert!(ours.len() > 100, "{kind} {path}: {ours}");
                assert!(
                    tapped.has_sent(&ours).await,
                    "{kind} {path}: Ollama never sent {ours}"
                );
            } else {
                assert!(body["tools"].is_array(), "{kind} {path}: {ours}");
                let refused: Value = serde_json::from_str(&ours).expect("JSON");
                assert!(refused["error"].is_string(), "{kind} {path}: {refused}");
            }
        }
        door.stop().await.expect("it stops");
        gateway.stop().await.expect("it stops");
    }
}
