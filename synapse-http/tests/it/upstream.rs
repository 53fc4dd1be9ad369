//! A raw TCP server that injects faults: it reads requests, and writes exactly the bytes that a test scripted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// What the server does once it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Writes these bytes at once.
    Send(Vec<u8>),
    /// Writes these bytes one by one.
    Trickle(Vec<u8>),
    /// Stays silent for so long.
    Pause(std::time::Duration),
    /// Stays silent until the client closes.
    Hold,
    /// Closes the connection.
    Close,
}

/// The server; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    left: watch::Receiver<usize>,
    task: AbortHandle,
}

impl Upstream {
    /// A server that follows `script` for each request, the connection kept alive between them.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (accepted, requests) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (leave, left) = watch::channel(0);
        let (script, leave) = (Arc::new(script), Arc::new(leave));
        let task = tokio::spawn({
            let (accepted, requests) = (accepted.clone(), Arc::clone(&requests));
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    accepted.fetch_add(1, SeqCst);
                    let (script, requests, leave) = (script.clone(), Arc::clone(&requests), leave.clone());
                    tokio::spawn(async move {
                        serve(socket, &*script, &requests).await;
                        leave.send_modify(|count| *count += 1);
                    });
                }
            }
        });
        Self {
            url,
            accepted,
            requests,
            left,
            task: task.abort_handle(),
        }
    }

    /// How many connections were opened.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many connections are over.
    pub(crate) async fn closed(&mut self, count: usize) {
        self.left.wait_for(|left| *left >= count).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    script: &(dyn Fn(&str) -> Vec<Step> + Sync),
    requests: &Mutex<Vec<String>>,
) {
    socket.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut socket).await {
        let steps = script(&request);
        requests.lock().unwrap().push(request);
        for step in steps {
            let written = match step {
                Step::Send(bytes) => socket.write_all(&bytes).await,
                Step::Trickle(bytes) => {
                    for byte in bytes {
                        if socket.write_all(&[byte]).await.is_err() {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                    Ok(())
                }
                Step::Pause(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Step::Hold => {
                    while matches!(socket.read(&mut [0; 64]).await, Ok(read) if read > 0) {}
                    return;
                }
                Step::Close => return,
            };
            if written.is_err() {
                return;
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut read = [0; 4096];
        match socket.read(&mut read).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&read[..count]),
            _ => return None,
        }
    }
}

/// A chunked reply of this type, without its end.
pub(crate) fn chunked(content_type: &str, parts: &[&str]) -> Vec<u8> {
    let mut reply =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n")
            .into_bytes();
    for part in parts {
        reply.extend_from_slice(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes());
    }
    reply
}

/// The end of a chunked reply.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

/// A reply with a length.
pub(crate) fn whole(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}
