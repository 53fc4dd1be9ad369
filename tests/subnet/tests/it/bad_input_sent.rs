//! What is sent to the gateway, by whom, and what came back.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Request, header::HeaderName};
use serde_json::{Value, json};
use synapse_core::Micros;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A model that a gateway with prices has none for.
pub(crate) const UNSOLD: &str = "unsold";
/// What the miner serves.
pub(crate) const MODELS: [&str; 8] = [
    "good",
    "vast",
    UNSOLD,
    "panics",
    "panics-midway",
    "never",
    "refuses",
    "fails",
];

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MEGABYTE: usize = 1_000_000;

/// Something that is sent, and by whom.
pub(crate) struct Ask {
    pub(crate) name: &'static str,
    pub(crate) holder: Holder,
    pub(crate) door: Door,
    /// Small requests that are sent before it.
    pub(crate) before: u64,
    pub(crate) sent: Sent,
    /// The address that limits are to see, where it gets as far as them.
    pub(crate) from: Option<&'static str>,
}

/// Whose key it has.
#[derive(Debug)]
pub(crate) enum Holder {
    /// Has enough of everything.
    Plain,
    /// Has so much paid in.
    Poor(Micros),
    /// May use so many tokens a day.
    Tokens(u64),
    SpendADay(Micros),
    SpendAMonth(Micros),
    /// May ask for this model alone.
    OfModel(&'static str),
    Revoked,
    Expired,
    /// Shows these lines and no key of its own.
    Showing(Vec<String>),
}

/// Where it is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    /// Believes no proxy that could ask here.
    Plain,
    /// Believes whoever connects.
    BehindProxies,
    /// Waits for a body no longer than a moment.
    Hasty,
}

pub(crate) enum Sent {
    Request(Box<Request<Full<Bytes>>>),
    /// What no client would send.
    Bytes {
        bytes: Vec<u8>,
        then: Then,
    },
}

/// What the client does once it has sent all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Waits,
    /// Says that nothing more comes.
    Ends,
}

/// What came back; no status where the connection was closed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn new(name: &'static str, sent: Sent) -> Self {
        Self {
            name,
            holder: Holder::Plain,
            door: Door::Plain,
            before: 0,
            sent,
            from: None,
        }
    }

    pub(crate) fn by(mut self, holder: Holder) -> Self {
        self.holder = holder;
        self
    }

    pub(crate) fn at(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    pub(crate) fn after(mut self, small: u64) -> Self {
        self.before = small;
        self
    }

    pub(crate) fn seen_from(mut self, address: &'static str) -> Self {
        self.from = Some(address);
        self
    }

    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        self.sent = Sent::request(post(CHAT, &[], body.to_vec()));
        self
    }
}

impl Holder {
    /// A caller's name for all who are so, and sent so many small requests before.
    pub(crate) fn of_kind(&self, before: u64) -> String {
        let kind = format!("{self:?}-{before}");
        kind.chars()
            .filter(|c| c.is_alphanumeric() || *c == '-')
            .collect()
    }
}

impl Sent {
    pub(crate) fn request(request: Request<Full<Bytes>>) -> Self {
        Self::Request(Box::new(request))
    }

    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        let then = Then::Waits;
        Self::Bytes { bytes, then }
    }
}

impl Answer {
    /// Its status, and what its body says was wrong: type, code and field.
    pub(crate) fn said(&self, name: &str) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = &body["error"];
        let of = |field: &str| error[field].as_str().unwrap_or("–").to_owned();
        let status = self
            .status
            .map_or("closed".to_owned(), |status| status.to_string());
        let told = error["message"].as_str().or(error.as_str());
        let is_ours = self.headers.contains_key("x-request-id");
        if is_ours && self.status != Some(200) {
            assert!(told.is_some_and(|told| told.len() > 8), "{name}: {status} {body}");
        }
        let shown = told.unwrap_or_default().len();
        assert!(
            shown < 1_000,
            "{name} is told {shown} bytes, some of which are its own"
        );
        format!("{status} | {} | {} | {}", of("type"), of("code"), of("param"))
    }
}

/// Writes bytes to a connection of its own, and reads one reply.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8], then: Then) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let write = async {
        // Who is refused in the middle cannot go on.
        if writer.write_all(bytes).await.is_ok() && then == Then::Ends {
            let _ = writer.shutdown().await;
        }
    };
    let mut reply = Vec::new();
    let read = async {
        while !is_whole(&reply) {
            if reader.read_buf(&mut reply).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let ended = timeout(Duration::from_secs(20), async { tokio::join!(write, read) }).await;
    assert!(ended.is_ok(), "no reply to {} bytes", bytes.len());
    let Some((head, body)) = parts(&reply) else {
        return Answer {
            status: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
    };
    let (first, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
    let fields = lines.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))
    });
    Answer {
        status: first.split(' ').nth(1).and_then(|status| status.parse().ok()),
        headers: fields.collect(),
        // What comes after it is the reply to what would be another request.
        body: Bytes::copy_from_slice(&body[..body.len().min(length(&reply).unwrap_or(usize::MAX))]),
    }
}

/// A reply's head and what there is of its body.
fn parts(reply: &[u8]) -> Option<(String, &[u8])> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&reply[..end]).into_owned();
    Some((head, &reply[end + 4..]))
}

/// Whether all of a reply came whose head says how long it is.
fn is_whole(reply: &[u8]) -> bool {
    let both = length(reply).zip(parts(reply));
    both.is_some_and(|(length, (_, body))| body.len() >= length)
}

/// How long a reply's body is, once its head is there and says so.
fn length(reply: &[u8]) -> Option<usize> {
    let head = parts(reply)?.0.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    length.parse().ok()
}

/// A good chat, but for these fields.
pub(crate) fn chat(fields: &Value) -> Vec<u8> {
    let mut body = json!({"model": "good", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string().into_bytes()
}

/// A request to a path, with these headers besides.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::post(path).header("host", "localhost");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) fn with(name: &'static str, fields: &Value) -> Ask {
    Ask::new(name, Sent::request(post(CHAT, &[], chat(fields))))
}

pub(crate) fn text(name: &'static str, path: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::new(name, Sent::request(post(path, &[], body.into())))
}

/// A chat's body with these bytes as the value of one more field.
pub(crate) fn field(name: &'static str, written: &str) -> Ask {
    let body = format!(r#"{{"model":"good","messages":[{{"role":"user","content":"hi"}}],{written}}}"#);
    text(name, CHAT, body)
}

pub(crate) fn headed(name: &'static str, headers: &[(&str, &str)]) -> Ask {
    let body = chat(&json!({"max_tokens": 1}));
    Ask::new(name, Sent::request(post(CHAT, headers, body)))
}

pub(crate) fn showing(name: &'static str, lines: &[&str]) -> Ask {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    headed(name, &[]).by(Holder::Showing(lines))
}

/// A request with this head and body, as they are.
pub(crate) fn bytes(name: &'static str, headers: &str, body: &[u8], then: Then) -> Ask {
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n\r\n");
    let bytes = [head.as_bytes(), body].concat();
    Ask::new(name, Sent::Bytes { bytes, then })
}
