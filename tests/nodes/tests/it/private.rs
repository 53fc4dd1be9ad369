//! What users write and models answer is nowhere but on its way.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use nodes_tests::{Node, Process, Signal, Subnet, ask, ask_whole, get, post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// In each prompt, and shouted in each answer.
const CANARY: &str = "canary-7f3a9c";
/// Requests that are refused, each with the canary in it.
const REFUSED: [&str; 5] = [
    r#"{"model": "shout", "messages": [{"role": "user", "content": "canary-7f3a9c"}"#,
    r#"{"model": "no-such-model", "messages": [{"role": "user", "content": "canary-7f3a9c"}]}"#,
    r#"{"model": "shout", "messages": "canary-7f3a9c"}"#,
    r#"{"model": "shout", "messages": [{"role": "user", "content": {"canary-7f3a9c": 1}}]}"#,
    r#"{"model": "shout", "max_tokens": "canary-7f3a9c", "messages": []}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_output_of_a_run_has_a_prompt_or_an_answer() {
    let run = Run::start(|validator| validator).await;
    let said = run.said().await;
    for (of, text) in &said {
        assert!(!holds(text), "{of} has the prompt:\n{}", around(text));
    }
    let log = &said.iter().find(|(of, _)| of == "the validator's log").unwrap().1;
    assert!(log.contains("gen_ai.request.model"), "it did log: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_operator_asks_for_it_by_name_it_is_in_one_place() {
    let run = Run::start(|validator| validator.arg("--keep-prompts-and-answers")).await;
    let said = run.said().await;
    let places: Vec<&str> = said
        .iter()
        .filter(|(_, text)| holds(text))
        .map(|(of, _)| of.as_str())
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places[0].contains("/transcripts/"), "{places:?}");
}

fn holds(text: &str) -> bool {
    text.to_lowercase().contains(CANARY)
}

/// The lines that have it.
fn around(text: &str) -> String {
    text.lines()
        .filter(|line| holds(line))
        .take(5)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A subnet that logs whatever it can, and was asked for the canary in many ways.
struct Run {
    nodes: Vec<(&'static str, Node)>,
    processes: Vec<Process>,
    engine: JoinHandle<()>,
    /// What they show to whoever asks.
    shown: Vec<(String, String)>,
}

impl Run {
    async fn start(change: impl FnOnce(Process) -> Process) -> Self {
        let subnet = Subnet::new();
        let chain = subnet.chain().env("RUST_LOG", "trace");
        let mut nodes = vec![("the chain", chain.start().await)];
        for (key, role) in [
            ("validator", "validator"),
            ("miner", "miner"),
            ("gossip", "miner"),
        ] {
            let _ = subnet.key(key);
            subnet.register(key, role).await;
        }
        let miner = subnet.miner("miner", 2, 1).env("RUST_LOG", "trace");
        nodes.push(("the miner", miner.start().await));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("--upstream=http://{}", listener.local_addr().unwrap());
        let engine = tokio::spawn(gossip(listener));
        let gossiping = subnet
            .miner_of("gossip")
            .arg("--listen=127.0.0.1:0")
            .arg(upstream);
        let gossiping = gossiping.env("RUST_LOG", "trace");
        nodes.push(("the miner of an engine that repeats", gossiping.start().await));
        let validator = change(subnet.validator("validator").env("RUST_LOG", "trace"));
        nodes.push(("the validator", validator.start().await));
        let at = nodes.last().unwrap().1.address();

        let mut streamed = ask(at, CANARY).await.unwrap();
        assert!(holds(&streamed.text().await), "the answer shouts it");
        let mut whole = ask_whole(at, CANARY).await.unwrap();
        assert!(holds(&whole.text().await), "the answer shouts it");
        drop(ask(at, CANARY).await.unwrap());
        for body in REFUSED {
            let refused = post(at, "/v1/chat/completions", body).await.unwrap();
            assert!(
                (400..500).contains(&refused.status()),
                "{body}: {}",
                refused.status()
            );
        }
        repeated(at).await;
        let mut shown = Vec::new();
        for path in ["/metrics", "/health/ready", "/v1/models"] {
            let text = get(at, path).await.unwrap().text().await;
            shown.push((format!("{path} of the validator"), text));
        }
        Self {
            nodes,
            processes: vec![chain, miner, gossiping, validator],
            engine,
            shown,
        }
    }

    /// Ends all nodes, and returns whatever they wrote.
    async fn said(mut self) -> Vec<(String, String)> {
        self.engine.abort();
        let mut said = self.shown;
        for (name, node) in self.nodes.iter_mut().rev() {
            node.signal(Signal::TERM);
            assert!(node.ended(Duration::from_secs(60)).await.is_some(), "{name} ends");
            said.push((format!("{name}'s log"), node.stderr()));
        }
        for process in &self.processes {
            read_all(process.data(), &mut said);
        }
        said
    }
}

/// Asks the engine that repeats until both of its ways to fail were met.
async fn repeated(gateway: SocketAddr) {
    let body = |stream: bool, prompt: &str| {
        format!(
            r#"{{"model": "gossip", "stream": {stream}, "messages": [{{"role": "user", "content": "{prompt} {CANARY}"}}]}}"#
        )
    };
    for (stream, prompt, wanted) in [(false, "refuse", 400), (true, "break", 200)] {
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut reply = post(gateway, "/v1/chat/completions", &body(stream, prompt))
                .await
                .unwrap();
            let status = reply.status();
            let text = reply.text().await;
            if status == wanted {
                break;
            }
            assert!(tokio::time::Instant::now() < until, "{prompt}: {status} {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An engine that repeats in its errors what it was asked. Made up, to see what becomes of such errors.
async fn gossip(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(repeat(socket));
    }
}

async fn repeat(mut socket: TcpStream) -> Option<()> {
    let mut request = Vec::new();
    let is_whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        (body.len() >= length.unwrap_or(0)).then_some((head.to_owned(), body.to_owned()))
    };
    let (head, body) = loop {
        if let Some(whole) = is_whole(&request) {
            break whole;
        }
        let mut part = [0; 4096];
        match socket.read(&mut part).await {
            Ok(read) if read > 0 => request.extend(&part[..read]),
            _ => return None,
        }
    };
    let error = serde_json::json!({"error": {"message": body, "type": "server_error", "code": "gossip"}});
    let word = r#"{"choices": [{"index": 0, "delta": {"content": "Well"}}]}"#;
    let end = r#"{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}"#;
    let whole = r#"{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Well"}, "finish_reason": "stop"}]}"#;
    let (status, kind, body) = if head.starts_with("GET /v1/models") {
        let models = r#"{"object": "list", "data": [{"id": "gossip", "object": "model"}]}"#;
        ("200 OK", "application/json", models.to_owned())
    } else if !head.starts_with("POST") {
        ("404 Not Found", "application/json", "{}".to_owned())
    } else if body.contains("break ") {
        let events = format!("data: {word}\n\ndata: {error}\n\n");
        ("200 OK", "text/event-stream", events)
    } else if body.contains("refuse ") {
        ("400 Bad Request", "application/json", error.to_string())
    } else if body.contains(r#""stream":true"#) {
        let events = format!("data: {word}\n\ndata: {end}\n\ndata: [DONE]\n\n");
        ("200 OK", "text/event-stream", events)
    } else {
        // Its own miner's question, before anybody else's.
        ("200 OK", "application/json", whole.to_owned())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.ok()?;
    socket.write_all(body.as_bytes()).await.ok()
}

/// The content of every file in there, whatever it is.
fn read_all(directory: &Path, said: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, said);
        } else if let Ok(bytes) = fs::read(&path) {
            said.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
}
