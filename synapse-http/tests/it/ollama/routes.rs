//! Ollama's routes over modules in Rust, and over replies in either format.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use synapse_core::{
    Body, Bytes, Chunk, Delta, Dialect, Error, FinishReason, Framing, Input, ModelInfo, ModuleCapabilities,
    Output, Task,
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, Ollama, OpenAi, router};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
    time::timeout,
};

use super::NDJSON;
use crate::{
    modules::replays,
    server::{PATIENCE, Reply, post_head, start},
};

fn ask(model: &str, fields: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"one two three"}}]{fields}}}"#)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn chunk(bytes: &'static str, dialect: &'static dyn Dialect, framing: Framing) -> Result<Chunk, Error> {
    Ok(Chunk::read(Bytes::from_static(bytes.as_bytes()), dialect, framing)?.unwrap())
}

const OLLAMAS: [&str; 2] = [
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Red\"},\"done\":false, \"x\":1}\n",
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":1}\n",
];
const OPENAIS: [&str; 4] = [
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Red\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n",
    "data: [DONE]\n\n",
];

fn in_ollamas() -> Scripted {
    let chunks = OLLAMAS.map(|line| chunk(line, Ollama::DIALECT, Framing::Lines));
    replays(Some(NDJSON), chunks.into())
}

fn in_openais() -> Scripted {
    let chunks = OPENAIS.map(|event| chunk(event, OpenAi::DIALECT, Framing::Sse));
    replays(Some("text/event-stream"), chunks.into())
}

#[tokio::test]
async fn a_module_in_rust_answers_ollamas_clients() {
    let server = start(router(Echo::new())).await;
    let reply = server.post("/api/chat", &ask("echo", "")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(NDJSON)));
    let said = lines(&reply.text());
    let text: String = said
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    assert_eq!(text, "one two three");
    assert_eq!(said.len(), 4);
    let last = &said[3];
    assert_eq!(
        (&last["done"], last["eval_count"].as_u64()),
        (&Value::Bool(true), Some(3))
    );

    let whole = server
        .post("/api/chat", &ask("echo", r#","stream":false"#))
        .await
        .json();
    assert_eq!(whole["message"]["content"], "one two three");
    assert_eq!(
        (&whole["done"], &whole["done_reason"]),
        (&Value::Bool(true), &json!("stop"))
    );
    let capped = server
        .post(
            "/api/chat",
            &ask("echo", r#","stream":false,"options":{"num_predict":1}"#),
        )
        .await;
    assert_eq!(capped.json()["done_reason"], "length");

    let prompt = r#"{"model":"echo","prompt":"red green","stream":false}"#;
    assert_eq!(
        server.post("/api/generate", prompt).await.json()["response"],
        "red green"
    );
    let raw = r#"{"model":"echo","prompt":"red green","raw":true}"#;
    let said = lines(&server.post("/api/generate", raw).await.text());
    assert_eq!(said[0]["response"], "red ");
}

#[tokio::test]
async fn lines_of_ollamas_pass_byte_for_byte() {
    let server = start(router(in_ollamas())).await;
    let reply = server.post("/api/chat", &ask("m", "")).await;
    assert_eq!(reply.text(), OLLAMAS.concat());
    assert!(reply.is_whole());
    let whole = "{ \"model\":\"m\",\"embeddings\":[[1.50]] }";
    let chunks = vec![chunk(whole, Ollama::DIALECT, Framing::Whole)];
    let server = start(router(replays(Some("application/json; charset=utf-8"), chunks))).await;
    let reply = server.post("/api/embed", r#"{"model":"m","input":"x"}"#).await;
    assert_eq!(reply.text(), whole);
}

#[tokio::test]
async fn each_client_hears_its_own_format_whoever_answers() {
    let openais = start(router(in_openais())).await;
    let said = lines(&openais.post("/api/chat", &ask("m", "")).await.text());
    assert_eq!((said.len(), &said[0]["message"]["content"]), (2, &json!("Red")));
    assert_eq!(
        (&said[1]["done_reason"], &said[1]["prompt_eval_count"]),
        (&json!("stop"), &json!(3))
    );
    let whole = openais
        .post("/api/chat", &ask("m", r#","stream":false"#))
        .await
        .json();
    assert_eq!(
        (&whole["message"]["content"], &whole["eval_count"]),
        (&json!("Red"), &json!(1))
    );

    let ollamas = start(router(in_ollamas())).await;
    let whole = ollamas.post("/v1/chat/completions", &ask("m", "")).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Red");
    assert_eq!(
        (
            &whole["choices"][0]["finish_reason"],
            &whole["usage"]["total_tokens"]
        ),
        (&json!("stop"), &json!(4))
    );
    let events = ollamas
        .post("/v1/chat/completions", &ask("m", r#","stream":true"#))
        .await;
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert!(events.text().contains("\"content\":\"Red\"") && events.text().ends_with("data: [DONE]\n\n"));
    let folded = ollamas
        .post("/api/chat", &ask("m", r#","stream":false"#))
        .await
        .json();
    assert_eq!(
        (&folded["message"]["content"], &folded["done"]),
        (&json!("Red"), &json!(true))
    );

    let chunks = vec![chunk(
        r#"{"embeddings":[[1,2],[3,4]],"prompt_eval_count":5}"#,
        Ollama::DIALECT,
        Framing::Whole,
    )];
    let vectors = start(router(replays(Some("application/json"), chunks))).await;
    let listed = vectors
        .post("/v1/embeddings", r#"{"model":"m","input":["a","b"]}"#)
        .await
        .json();
    assert_eq!(
        (&listed["data"][1]["embedding"], &listed["usage"]["prompt_tokens"]),
        (&json!([3.0, 4.0]), &json!(5))
    );
    let chunks = vec![chunk(
        r#"{"data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":5}}"#,
        OpenAi::DIALECT,
        Framing::Whole,
    )];
    let vectors = start(router(replays(Some("application/json"), chunks))).await;
    let reply = vectors
        .post("/api/embed", r#"{"model":"m","input":"a"}"#)
        .await
        .json();
    assert_eq!(
        (&reply["embeddings"], &reply["prompt_eval_count"]),
        (&json!([[1.0, 2.0]]), &json!(5))
    );
    let reply = vectors
        .post("/api/embeddings", r#"{"model":"m","prompt":"a"}"#)
        .await
        .json();
    assert_eq!(reply, json!({"embedding": [1.0, 2.0]}));
}

#[tokio::test]
async fn a_reply_of_ollamas_that_calls_tools_ends_for_openais_clients_with_their_reason() {
    // The second call is another one, though it has neither a number nor an id.
    const CALLS: &str = "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":false}\n";
    const MORE: &str =
        "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"g\",\"arguments\":{}}}]},\"done\":false}\n";
    let chunks = [CALLS, MORE, OLLAMAS[1]].map(|line| chunk(line, Ollama::DIALECT, Framing::Lines));
    let server = start(router(replays(Some(NDJSON), chunks.into()))).await;
    let whole = server.post("/v1/chat/completions", &ask("m", "")).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let called = json!([
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
        {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]);
    assert_eq!(choice["message"]["tool_calls"], called);
    let stream = ask("m", r#","stream":true"#);
    let events = server.post("/v1/chat/completions", &stream).await.text();
    assert!(events.contains("\"finish_reason\":\"tool_calls\""), "{events}");
}

#[tokio::test]
async fn refusals_below_api_are_ollamas() {
    let server = start(router(Echo::new())).await;
    let check = |reply: Reply, status: u16, code: &str| {
        let body = reply.json();
        assert_eq!(
            (reply.status, body["synapse"]["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert!(!body["error"].as_str().unwrap().is_empty());
    };
    check(server.post("/api/chat", "{").await, 400, "invalid_json");
    check(
        server.post("/api/chat", &ask("nobody", "")).await,
        404,
        "model_not_found",
    );
    check(
        server.post("/api/embed", r#"{"model":"echo","input":"x"}"#).await,
        400,
        "task_unsupported",
    );
    check(server.get("/api/chat").await, 405, "method_not_allowed");
    check(server.get("/api/unknown").await, 404, "unknown_route");
    for path in ["pull", "push", "create", "copy", "delete", "blobs/sha256:00"] {
        check(
            server.post(&format!("/api/{path}"), "{}").await,
            403,
            "management_forbidden",
        );
    }
    assert!(server.post("/v1/chat/completions", "{").await.json()["error"]["code"].is_string());
}

#[tokio::test]
async fn what_curl_says_unless_told_is_taken_for_json_but_not_of_another_sites_page() {
    let server = start(router(Echo::new())).await;
    let body = ask("echo", r#","stream":false"#);
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let reply = server.post_with("/api/chat", form, body.as_bytes()).await;
    assert_eq!(reply.status, 200);
    let page = format!("{form}origin: https://example.com\r\n");
    let reply = server.post_with("/api/chat", &page, body.as_bytes()).await;
    assert_eq!(reply.status, 415);
    let reply = server
        .post_with("/v1/chat/completions", form, body.as_bytes())
        .await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_uncleanly() {
    let chunks = vec![
        chunk(OLLAMAS[0], Ollama::DIALECT, Framing::Lines),
        Err(Error::broken("gone", "it left")),
    ];
    let server = start(router(replays(Some(NDJSON), chunks))).await;
    let reply = server.post("/api/chat", &ask("m", "")).await;
    assert!(!reply.is_whole());
    let said = lines(&reply.text());
    assert_eq!((said.len(), &said[1]["error"]), (2, &json!("it left")));
}

#[tokio::test]
async fn silence_is_broken_by_spaces_that_no_parser_minds() {
    let heard = Arc::new(Notify::new());
    let until = heard.clone();
    let module = Scripted::new(move |_| {
        let until = until.clone();
        let late = stream::once(async move {
            until.notified().await;
            Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last())
        });
        let early = stream::iter([Ok(Chunk::delta(Delta::text("a")))]);
        async { Ok(Output::new(Body::new(Box::pin(early.chain(late))))) }
    });
    let server = start(Api::builder(module).keep_alive(Duration::from_millis(20))).await;
    let body = ask("scripted", "");
    let mut connection = server.connect().await;
    let head = post_head("/api/chat", "connection: close\r\n", body.len());
    connection
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n \r\n") {
        assert!(
            timeout(PATIENCE, connection.read_buf(&mut read))
                .await
                .unwrap()
                .unwrap()
                > 0
        );
    }
    heard.notify_one();
    timeout(PATIENCE, connection.read_to_end(&mut read))
        .await
        .unwrap()
        .unwrap();
    let reply = Reply::parse(&read);
    assert_eq!(lines(&reply.text()).len(), 2);
}

#[tokio::test]
async fn models_are_listed_as_far_as_they_are_known() {
    let mut capabilities = ModuleCapabilities::new("m")
        .with_task(Task::CHAT)
        .with_model(
            ModelInfo::new("a:latest")
                .with_digest("sha256:12")
                .with_context_length(2048),
        )
        .with_model(ModelInfo::new("b"));
    capabilities.dialects = vec!["ollama".to_owned()];
    let kept: Arc<Mutex<Option<Input>>> = Arc::default();
    let keep = kept.clone();
    let module = Scripted::new(move |input| {
        *keep.lock().unwrap() = Some(input);
        async { Err(Error::broken("seen", "that is all")) }
    })
    .with_capabilities(capabilities);
    let server = start(router(module.clone())).await;
    let tags = server.get("/api/tags").await.json();
    assert_eq!(
        tags["models"][0],
        json!({"name": "a:latest", "model": "a:latest", "digest": "12", "details": {"context_length": 2048}})
    );
    assert_eq!(
        tags["models"][1],
        json!({"name": "b", "model": "b", "details": {}})
    );
    let running = server.get("/api/ps").await.json();
    assert_eq!(running["models"][0]["context_length"], 2048);
    let shown = server.post("/api/show", r#"{"model":"a"}"#).await.json();
    assert_eq!(shown["capabilities"], json!(["completion"]));
    assert_eq!(shown["model_info"]["general.context_length"], 2048);
    assert_eq!(server.post("/api/show", r#"{"name":"c"}"#).await.status, 404);
    assert_eq!(server.post("/api/show", "{}").await.status, 400);
    assert!(server.get("/api/version").await.json()["version"].is_string());
    assert_eq!(server.get("/").await.status, 200);

    server.post("/api/chat", &ask("a", r#","keep_alive":"-1""#)).await;
    let input = kept.lock().unwrap().take().unwrap();
    assert_eq!(input.model().unwrap(), "a:latest");
    let sent = input.wire_for(Ollama::DIALECT).unwrap();
    assert_eq!(sent.body(), &ask("a:latest", r#","keep_alive":null"#));

    let without = start(Api::builder(module).ollama(false)).await;
    assert_eq!(without.get("/api/tags").await.status, 404);
    assert_eq!(without.get("/").await.status, 404);
    let claimed = without.get("/synapse/v1/capabilities").await.json();
    assert_eq!(claimed["dialects"], json!([]));
}

#[tokio::test]
async fn a_model_without_a_tag_is_the_latest_in_any_format() {
    let capabilities = ModuleCapabilities::new("m")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("a:latest"));
    let claims = capabilities.clone();
    let asks = Arc::new(Mutex::new(0));
    let count = asks.clone();
    let module = Scripted::new(move |input| {
        let claims = claims.clone();
        *count.lock().unwrap() += 1;
        async move {
            claims.check_input(&input)?;
            Err(Error::broken("seen", input.model()?.to_owned()))
        }
    })
    .with_capabilities(capabilities);
    let server = start(router(module)).await;
    let asked = r#"{"model":"a","messages":[{"role":"user","content":"hi"}]}"#;
    let seen = server.post("/v1/chat/completions", asked).await.json();
    assert_eq!(seen["error"]["message"], "a:latest");
    assert_eq!(*asks.lock().unwrap(), 1, "it is one request of a limit");
    let other = asked.replace(r#""a""#, r#""b""#);
    let unknown = server.post("/v1/chat/completions", &other).await.json();
    assert_eq!(unknown["error"]["code"], "model_not_found");
}
