//! A server on a real socket, and a client that sends whatever a test wants.

use std::{net::SocketAddr, time::Duration};

use synapse_core::Error;
use synapse_http::{Api, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Longer than anything here should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), Error>>,
}

/// Serves `api`, once its module is initialised.
pub(crate) async fn start(api: impl Into<Api> + Send + 'static) -> Running {
    start_with(api, |server| server).await
}

pub(crate) async fn start_with(
    api: impl Into<Api> + Send + 'static,
    tune: impl FnOnce(Server) -> Server,
) -> Running {
    let (ready, is_ready) = oneshot::channel();
    let running = launch(api, |server| {
        tune(server).on_ready(move |_| {
            let _ = ready.send(());
        })
    })
    .await;
    timeout(PATIENCE, is_ready)
        .await
        .expect("the server is ready in time")
        .expect("the server starts");
    running
}

/// As [`start_with`], without waiting for the module.
pub(crate) async fn launch(
    api: impl Into<Api> + Send + 'static,
    tune: impl FnOnce(Server) -> Server,
) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::bind("127.0.0.1:0").await.expect("a port is free");
    let server = tune(server.shutdown(async {
        let _ = stopped.await;
    }));
    Running {
        address: server.local_addr(),
        stop: Some(stop),
        serving: tokio::spawn(server.serve(api)),
    }
}

impl Running {
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// What `serve` returned.
    pub(crate) async fn ended(mut self) -> Result<(), Error> {
        self.stop();
        timeout(PATIENCE, self.serving)
            .await
            .expect("the server ends in time")
            .expect("the server does not panic")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server accepts")
    }

    /// Sends `request` and reads until the server closes.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect().await;
        stream
            .write_all(request.as_ref())
            .await
            .expect("the request goes out");
        Reply::read(&mut stream).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.exchange(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.post_with(path, "", body.as_bytes()).await
    }

    /// `headers` are whole lines, each with its end.
    pub(crate) async fn post_with(&self, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut request =
            post_head(path, &format!("connection: close\r\n{headers}"), body.len()).into_bytes();
        request.extend_from_slice(body);
        self.exchange(request).await
    }
}

pub(crate) fn post_head(path: &str, headers: &str, length: usize) -> String {
    let typed = if headers.contains("content-type") {
        ""
    } else {
        "content-type: application/json\r\n"
    };
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{typed}{headers}content-length: {length}\r\n\r\n")
}

pub(crate) fn chat(stream: bool) -> String {
    format!(
        r#"{{"model":"echo","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream}}}"#
    )
}

/// A reply as it came, read until the server closed.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// As on the wire, so in chunks where it was sent so.
    pub(crate) raw: Vec<u8>,
}

impl Reply {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset is an end too; what came before it counts.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("the server closes in time");
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let split = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
        Self {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0),
            raw: bytes[split..].to_vec(),
            head,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }

    /// Whether all of the body came.
    pub(crate) fn is_whole(&self) -> bool {
        if self.is_chunked() {
            return self.raw.ends_with(b"0\r\n\r\n");
        }
        let length = self
            .header("content-length")
            .and_then(|length| length.parse().ok());
        length == Some(self.raw.len())
    }

    /// The body without the framing of chunks.
    pub(crate) fn body(&self) -> Vec<u8> {
        if !self.is_chunked() {
            return self.raw.clone();
        }
        let (mut body, mut rest) = (Vec::new(), &self.raw[..]);
        while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let from = end + 2;
            if size == 0 || rest.len() < from + size {
                break;
            }
            body.extend_from_slice(&rest[from..from + size]);
            rest = &rest[(from + size + 2).min(rest.len())..];
        }
        body
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body()).unwrap_or_else(|_| panic!("JSON: {:?}", self.text()))
    }

    /// The code of an error in OpenAI's shape.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let error = body["error"].as_object().expect("an error object");
        for field in ["message", "type", "param", "code"] {
            assert!(error.contains_key(field), "{field} in {body}");
        }
        error["code"].as_str().expect("a code").to_owned()
    }
}
