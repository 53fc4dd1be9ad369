//! What a miner logs of what it is asked: nothing.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{ModuleExt, layers::DeadlineLayer};
use synapse_http::{OpenAiModule, Server};
use synapse_miner::{
    QueueLayer,
    access::{AccessLayer, AccessRules, CallerLimits},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tower::ServiceBuilder;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// What no log may show.
const PROMPT: &str = "marker-7f3a-prompt";
const REPLY: &str = "marker-91cd-reply";
const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","created":0,"owned_by":"x"}]}"#;

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// How the engine answers its next request: it injects faults that repeat what it was asked.
type Answers = Arc<Mutex<Vec<String>>>;

fn reply(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
}

fn event(text: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

async fn engine(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut read = vec![0; 16_384];
            let Ok(length) = socket.read(&mut read).await else {
                continue;
            };
            let answer = if read[..length].starts_with(b"GET /v1/models ") {
                reply("200 OK", "application/json", MODELS)
            } else if read[..length].starts_with(b"GET ") {
                reply("404 Not Found", "application/json", "{}")
            } else {
                answers.lock().unwrap().pop().unwrap_or_default()
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Sends a body, and reads what comes until the end.
async fn ask(miner: SocketAddr, body: &str) -> String {
    let mut socket = TcpStream::connect(miner).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions?{PROMPT} HTTP/1.1\r\nhost: {miner}\r\ncontent-type: application/json\r\nx-note: {PROMPT}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    let reading = socket.read_to_string(&mut read);
    let _ = timeout(Duration::from_secs(20), reading).await.unwrap();
    read
}

#[tokio::test]
async fn no_log_shows_a_prompt_or_a_reply_whatever_goes_wrong() {
    let log = Log::default();
    let ours = EnvFilter::new("off,synapse_core=trace,synapse_http=trace,synapse_miner=trace,it=trace");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(ours)
        .with_writer(log.clone())
        .finish();
    let _recording = tracing::subscriber::set_default(subscriber);
    let answers = Answers::default();
    let engine = engine(answers.clone()).await;

    let queue = QueueLayer::bounded(8);
    let access =
        AccessLayer::new(AccessRules::default().limits(CallerLimits::default().tokens_per_minute(1_000)));
    let module = OpenAiModule::connect(&format!("http://{engine}"))
        .await
        .unwrap()
        .with(
            ServiceBuilder::new()
                .layer(DeadlineLayer::new(Duration::from_secs(20)))
                .layer(queue.clone()),
        )
        .attach(queue);
    let guarded = Arc::new(module.clone()).with(access.clone()).attach(access);
    let (open, _first) = serve(module).await;
    let (closed, _second) = serve(guarded).await;

    let stream = "text/event-stream";
    let good =
        format!(r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    let whole = [event(REPLY), "data: [DONE]\n\n".to_owned()].concat();
    for (answer, body) in [
        (reply("200 OK", stream, &whole), good.clone()),
        (reply("200 OK", stream, &event(REPLY)), good.clone()),
        (
            reply("200 OK", stream, &format!("{}data: {PROMPT}\n\n", event(REPLY))),
            good.clone(),
        ),
        (reply("200 OK", "application/json", PROMPT), good.clone()),
        (
            reply(
                "500 Oh",
                "application/json",
                &format!(r#"{{"error":{{"message":"cannot say {PROMPT}"}}}}"#),
            ),
            good.clone(),
        ),
        (reply("400 Oh", "text/plain", PROMPT), good.clone()),
        (String::new(), good.clone()),
        (String::new(), good.replace("\"m\"", &format!("\"{PROMPT}\""))),
        (String::new(), good.replace("}]", PROMPT)),
        (String::new(), PROMPT.to_owned()),
    ] {
        answers.lock().unwrap().push(answer);
        assert!(ask(open, &body).await.starts_with("HTTP/1.1 "));
    }
    assert!(ask(closed, &good).await.contains("unsigned_request"));

    tracing::info!("the log is kept");
    let shown = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(shown.contains("the log is kept"), "{shown}");
    for marker in [PROMPT, REPLY] {
        assert!(!shown.contains(marker), "{shown}");
    }
}

/// Serves a module until the guard drops.
async fn serve(module: impl synapse_core::InferenceModule) -> (SocketAddr, oneshot::Sender<()>) {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    tokio::spawn(
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
    (address, stop)
}
