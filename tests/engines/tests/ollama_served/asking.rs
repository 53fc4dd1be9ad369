//! Questions to an Ollama behind its module, and what it said.

use futures_util::StreamExt as _;
use parts::ollama::{self, MODEL};
use serde_json::{Value, json};
use synapse_core::{Error, FinishReason, InferenceModule as _, Input, Output, Task, Wire};
use synapse_http::{Ollama, OpenAi};
use synapse_miner::ollama::OllamaModule;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) const KINDS: [&str; 2] = ["self-contained", "current"];
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A request in OpenAI's format, or in Ollama's where the path is one of its own.
pub(crate) fn request(path: &'static str, body: &Value) -> Input {
    let task = match path {
        "/v1/completions" => Task::TEXT_COMPLETION,
        _ => Task::CHAT,
    };
    let dialect = if path.starts_with("/api/") {
        Ollama::DIALECT
    } else {
        OpenAi::DIALECT
    };
    let json = "application/json".parse().expect("a content type");
    Input::from_wire(task, Wire::new(dialect, path, json, body.to_string()))
}

/// A question, and what else its body has.
pub(crate) fn asked(other: &Value) -> Value {
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Name a colour."}]});
    for (name, value) in other.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) wire: Vec<u8>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) output_tokens: u64,
}

pub(crate) async fn said(output: Output) -> Result<Said, Error> {
    let mut said = Said {
        text: String::new(),
        wire: Vec::new(),
        finish: None,
        output_tokens: 0,
    };
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        said.wire
            .extend_from_slice(chunk.wire().map_or(&[], |bytes| bytes));
        for delta in chunk.deltas()? {
            said.text.push_str(&delta.text);
            said.finish = delta.finish_reason.clone().or(said.finish);
            said.output_tokens = delta
                .usage
                .map_or(said.output_tokens, |usage| usage.output_tokens);
        }
    }
    Ok(said)
}

pub(crate) async fn ask(module: &OllamaModule, path: &'static str, body: &Value) -> Result<Said, Error> {
    said(module.run_inference(request(path, body)).await?).await
}

pub(crate) async fn connect(ollama: &ollama::Ollama) -> OllamaModule {
    OllamaModule::connect(&ollama.url()).await.expect("an Ollama")
}

/// What a server says to a request that nobody prepared.
pub(crate) async fn post(url: &str, path: &str, body: String) -> String {
    let address = url.strip_prefix("http://").expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .expect("it is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    reply
}
