//! Ollama's dialect: requests read, refused, edited and rendered; replies read and written; routes and hops.

mod hops;
mod properties;
mod replies;
mod requests;
mod routes;
mod translation;

use http::HeaderValue;
use serde_json::Value;
use synapse_core::{Bytes, Error, Input, Wire};
use synapse_http::{Ollama, OpenAi};

const NDJSON: &str = "application/x-ndjson";

fn wire(path: &str, body: impl Into<Bytes>) -> Wire {
    let json = HeaderValue::from_static("application/json");
    Wire::new(Ollama::DIALECT, path, json, body)
}

/// A request as a router takes it: the task is what the body says.
fn input(path: &str, body: impl Into<Bytes>) -> Result<Input, Error> {
    let body = body.into();
    let task = Ollama::task(path, &body)?;
    let input = Input::from_wire(task, wire(path, body));
    input.view()?;
    Ok(input)
}

/// Chat with `fields` beside a model and a message.
fn chat(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#)
}

/// `body` as OpenAI's format says it.
fn in_openai(path: &str, body: &Value) -> Result<Value, Error> {
    let sent = input(path, body.to_string())?.wire_for(OpenAi::DIALECT)?;
    Ok(serde_json::from_slice(sent.body()).unwrap())
}
