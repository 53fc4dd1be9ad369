//! A server that answers each path with what it was told: a fake, for engines that do not run here and for faults that a real
//! one cannot be made to have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The status of what is never answered.
pub(crate) const NEVER: u16 = 0;

type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

/// Ends as it is dropped.
pub(crate) struct Fake {
    url: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(answers: &[(&str, u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let known = Answers::default();
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (answered, noted) = (known.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answered.clone(), noted.clone()));
            }
        });
        let fake = Self {
            url,
            answers: known,
            asked,
            task,
        };
        for (path, status, body) in answers {
            fake.set(path, *status, body);
        }
        fake
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn set(&self, path: &str, status: u16, body: &str) {
        let answer = (status, body.to_owned());
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// How often `path` was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let times = asked
            .iter()
            .filter(|(head, _)| head.contains(&format!(" {path} ")));
        times.count()
    }

    /// The last head and body that came for `path`.
    pub(crate) fn asked(&self, path: &str) -> (String, String) {
        let asked = self.asked.lock().unwrap();
        let last = asked
            .iter()
            .rev()
            .find(|(head, _)| head.contains(&format!(" {path} ")));
        last.cloned().unwrap_or_else(|| panic!("nobody asked for {path}"))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<(String, String)>>>) {
    let mut read = Vec::new();
    loop {
        let Ok(1..) = stream.read_buf(&mut read).await else {
            return;
        };
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.to_ascii_lowercase();
        let length = length
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        asked.lock().unwrap().push((head.to_owned(), body.to_owned()));
        let answer = answers.lock().unwrap().get(&path).cloned();
        let (status, body) = answer.unwrap_or((404, r#"{"detail":"Not Found"}"#.to_owned()));
        if status == NEVER {
            return std::future::pending().await;
        }
        // A frozen server.
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let kind = match body.as_bytes().first() {
            Some(b'{') if body.ends_with('\n') => "application/x-ndjson",
            Some(b'{' | b'[') => "application/json",
            Some(b'd') => "text/event-stream",
            _ => "text/plain",
        };
        let length = body.len();
        let reply =
            format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
        read.clear();
    }
}
