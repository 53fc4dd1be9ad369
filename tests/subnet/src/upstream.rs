//! A fake upstream that exists to control bytes: a raw socket that records what it is sent and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"raw","object":"model","created":0,"owned_by":"raw"}]}"#;

/// A raw upstream; ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Script {
    answer: Vec<Bytes>,
    received: Bytes,
    heads: Vec<String>,
}

impl Upstream {
    /// An upstream that serves the model `raw`.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(answer(socket, shared.clone()));
            }
        });
        Ok(Self {
            address,
            script,
            task,
        })
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it writes, one write each, after it read a request: head and all.
    ///
    /// # Panics
    /// Where a test panicked before.
    pub fn answer(&self, writes: impl IntoIterator<Item = Bytes>) {
        self.script
            .lock()
            .expect("no test panics while it holds the script")
            .answer = writes.into_iter().collect();
    }

    /// The body of the last request.
    ///
    /// # Panics
    /// Where a test panicked before.
    #[must_use]
    pub fn received(&self) -> Bytes {
        self.script
            .lock()
            .expect("no test panics while it holds the script")
            .received
            .clone()
    }

    /// The heads of all requests for an answer so far, as they came.
    ///
    /// # Panics
    /// Where a test panicked before.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.script
            .lock()
            .expect("no test panics while it holds the script")
            .heads
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut socket: TcpStream, script: Arc<Mutex<Script>>) -> std::io::Result<()> {
    let mut read = Vec::new();
    let head = loop {
        if let Some(end) = find(&read, b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    while read.len() < head + length {
        if socket.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let reply = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    if text.starts_with("get /v1/models") {
        return socket.write_all(reply("200 OK", MODELS).as_bytes()).await;
    }
    if !text.starts_with("post /v1/") {
        return socket.write_all(reply("404 Not Found", "{}").as_bytes()).await;
    }
    let writes = {
        let mut script = script.lock().expect("no test panics while it holds the script");
        script.received = Bytes::copy_from_slice(&read[head..]);
        script
            .heads
            .push(String::from_utf8_lossy(&read[..head]).into_owned());
        script.answer.clone()
    };
    for write in writes {
        socket.write_all(&write).await?;
        tokio::task::yield_now().await;
    }
    socket.shutdown().await
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
