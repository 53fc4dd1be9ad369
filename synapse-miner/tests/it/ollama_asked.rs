//! What goes to Ollama and what comes back, before a fake: its replies are of the shape that Ollama 0.17's have. No model here
//! calls tools or sees images, and no real Ollama lies or freezes at a word.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use synapse_core::{
    Error, ErrorKind, FinishReason, InferenceModule as _, Input, Message, Prompt, Request, Task, Wire,
};
use synapse_http::{Ollama, OpenAi, OpenAiModule, Server, router};
use synapse_miner::ollama::{Builder, KeepAlive, OllamaModule};
use tokio::{sync::oneshot, time::Instant};

use crate::inference::fake::Fake;

const CALLS: &str = concat!(
    r#"{"model":"smollm2:latest","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"","thinking":"Both.","tool_calls":[{"id":"call_x","function":{"index":0,"name":"look","arguments":{"place":"Oslo"}}}]},"done":false}"#,
    "\n",
    r#"{"model":"smollm2:latest","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"look","arguments":{"place":"Rome"}}}]},"done":false}"#,
    "\n",
    r#"{"model":"smollm2:latest","created_at":"2026-01-01T00:00:01Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":9,"prompt_eval_count":21,"eval_count":7}"#,
    "\n",
);
const RED: &str = r#"{"model":"smollm2:latest","message":{"role":"assistant","content":"Red"},"done":true,"done_reason":"stop","prompt_eval_count":2,"eval_count":1}"#;
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUg==";

fn tags(names: &[&str]) -> String {
    let models: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "digest": "d", "size": u64::MAX}))
        .collect();
    json!({"models": models}).to_string()
}

/// An Ollama with these models, whose context is known before they are loaded.
async fn ollama(names: &[&str]) -> Fake {
    let shown = json!({"capabilities": ["completion", "tools", "vision"], "parameters": "num_ctx 4096"});
    Fake::start(&[
        ("/api/version", 200, r#"{"version":"0.17.4"}"#),
        ("/api/tags", 200, &tags(names)),
        ("/api/ps", 200, r#"{"models":[]}"#),
        ("/api/show", 200, &shown.to_string()),
        ("/v1/models", 200, r#"{"data":[]}"#),
    ])
    .await
}

async fn module(fake: &Fake, set: impl FnOnce(Builder) -> Builder) -> OllamaModule {
    let module = set(OllamaModule::builder(fake.url())).build().unwrap();
    module.initialize().await.unwrap();
    module
}

fn sent(fake: &Fake, path: &str) -> Value {
    serde_json::from_str(&fake.asked(path).1).unwrap()
}

fn native(body: String) -> Input {
    let json = "application/json".parse().unwrap();
    Input::from_wire(Task::CHAT, Wire::new(Ollama::DIALECT, "/api/chat", json, body))
}

fn openai(body: &Value) -> Input {
    let json = "application/json".parse().unwrap();
    let wire = Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body.to_string());
    Input::from_wire(Task::CHAT, wire)
}

fn hi() -> Value {
    json!({"model": "smollm2", "messages": [{"role": "user", "content": "hi"}]})
}

async fn refused(module: &OllamaModule, input: Input) -> Error {
    module.run_inference(input).await.map(drop).unwrap_err()
}

/// A miner's door before `module`, and who asks there as a client of OpenAI's does.
async fn client(module: OllamaModule) -> OpenAiModule {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = server.local_addr();
    let (ready, is_ready) = oneshot::channel();
    let server = server.on_ready(move |_| {
        let _ = ready.send(());
    });
    tokio::spawn(server.serve(router(module)));
    is_ready.await.unwrap();
    OpenAiModule::builder(format!("http://{address}"))
        .build()
        .unwrap()
}

#[tokio::test]
async fn tools_and_images_go_to_ollama_and_calls_come_back_as_openais_clients_know_them() {
    let fake = ollama(&["smollm2:latest"]).await;
    let client = client(module(&fake, |builder| builder.context_length(4096)).await).await;
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let mut body = json!({
        "model": "smollm2", "stream": true, "max_tokens": 9, "tools": tools, "tool_choice": "auto",
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Where is it?"},
                {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{IMAGE}")}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": "{\"place\":\"Bonn\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_a", "content": "not here"},
        ],
    });
    fake.set("/api/chat", 200, CALLS);
    let limit = Duration::from_secs(20);
    let events = client.post("/v1/chat/completions", &body, limit).await.unwrap();
    let events = String::from_utf8(events.to_vec()).unwrap();

    let asked = sent(&fake, "/api/chat");
    assert_eq!(
        asked["messages"],
        json!([
            {"role": "user", "content": "Where is it?", "images": [IMAGE]},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call_a", "function": {"index": 0, "name": "look", "arguments": {"place": "Bonn"}}},
            ]},
            {"role": "tool", "content": "not here", "tool_name": "look", "tool_call_id": "call_a"},
        ])
    );
    assert_eq!((&asked["tools"], &asked["truncate"]), (&tools, &json!(false)));
    assert_eq!(asked["options"], json!({"num_predict": 9, "num_ctx": 4096}));

    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    let choices: Vec<Value> = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .map(|event| event["choices"][0].clone())
        .collect();
    let calls: Vec<&Value> = choices
        .iter()
        .filter_map(|choice| choice["delta"]["tool_calls"].get(0))
        .collect();
    assert_eq!(
        (calls[0]["index"].as_u64(), calls[1]["index"].as_u64()),
        (Some(0), Some(1))
    );
    assert_eq!(
        (&calls[0]["id"], &calls[1]["id"]),
        (&json!("call_x"), &json!("call_1"))
    );
    assert_eq!(
        calls[1]["function"],
        json!({"name": "look", "arguments": "{\"place\":\"Rome\"}"})
    );
    assert!(
        choices
            .iter()
            .any(|choice| choice["delta"]["reasoning_content"] == "Both."),
        "{events}"
    );
    assert!(
        choices
            .iter()
            .any(|choice| choice["finish_reason"] == "tool_calls"),
        "{events}"
    );

    // The same at once.
    body["stream"] = false.into();
    let mut whole: Value = serde_json::from_str(CALLS.lines().next().unwrap()).unwrap();
    whole["done"] = true.into();
    whole["done_reason"] = "stop".into();
    fake.set("/api/chat", 200, &whole.to_string());
    let reply = client.post("/v1/chat/completions", &body, limit).await.unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{reply}");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["arguments"],
        "{\"place\":\"Oslo\"}"
    );
}

#[tokio::test]
async fn a_program_hears_the_same_of_calls_as_a_client() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder.context_length(4096)).await;
    fake.set("/api/chat", 200, CALLS);
    let mut body = hi();
    body["stream"] = true.into();
    let mut reply = module.run_inference(openai(&body)).await.unwrap().body;
    let mut deltas = Vec::new();
    while let Some(chunk) = reply.next().await {
        deltas.extend(chunk.unwrap().deltas().unwrap().to_vec());
    }
    let indices: Vec<_> = deltas
        .iter()
        .flat_map(|delta| &delta.tool_calls)
        .map(|call| call.index)
        .collect();
    assert_eq!(indices, [0, 1]);
    let finish = deltas.iter().find_map(|delta| delta.finish_reason.clone());
    assert_eq!(finish, Some(FinishReason::ToolCalls));
}

#[tokio::test]
async fn how_long_a_model_stays_loaded_is_the_operators_even_without_a_router() {
    let fake = ollama(&["smollm2:latest"]).await;
    fake.set("/api/chat", 200, RED);
    let mut body = hi();
    body["keep_alive"] = 0.into();
    body["options"] =
        json!({"num_ctx": 64, "num_gpu": 0, "use_mlock": true, "draft_num_predict": 1, "temperature": 0});
    body["truncate"] = Value::Null;
    let own = module(&fake, |builder| builder).await;
    own.run_inference(native(body.to_string())).await.unwrap();
    let asked = sent(&fake, "/api/chat");
    assert_eq!(asked.get("keep_alive"), None);
    assert_eq!(asked["options"], json!({"temperature": 0}));
    assert_eq!(asked["truncate"], false);
    let forever = module(&fake, |builder| builder.keep_alive(KeepAlive::Forever)).await;
    forever.run_inference(native(body.to_string())).await.unwrap();
    assert_eq!(sent(&fake, "/api/chat")["keep_alive"], -1);
    // Ollama reads these keys as the one above, and the last one counts; the Kelvin sign is a k to it.
    for key in [
        "KEEP_ALIVE",
        "\u{212a}eep_alive",
        r"\u212aeep_alive",
        "option\u{17f}",
    ] {
        let body = hi().to_string().replacen('{', &format!("{{\"{key}\":0,"), 1);
        assert_eq!(
            refused(&own, native(body)).await.code(),
            "miscased_field",
            "{key}"
        );
    }
    let twice = body.to_string().replacen('{', "{\"keep_alive\":-1,", 1);
    assert_eq!(refused(&own, native(twice)).await.code(), "duplicate_field");
}

#[tokio::test]
async fn a_refusal_that_quotes_the_caller_is_no_failure_of_the_engine() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    let quoted = json!({"error": "unrecognized schema: {\"type\":\"out of memory\"}"}).to_string();
    fake.set("/api/chat", 400, &quoted);
    let error = refused(&module, native(hi().to_string())).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let failed = json!({"error": "llama runner: out of memory"}).to_string();
    fake.set("/api/chat", 500, &failed);
    let error = refused(&module, native(hi().to_string())).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "out_of_memory")
    );
    let about_tool = json!({"error": "the tool \"look\" is invalid"}).to_string();
    fake.set("/api/chat", 400, &about_tool);
    let error = refused(&module, native(hi().to_string())).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_ne!(error.code(), "invalid_model_name", "{error}");
}

#[tokio::test]
async fn a_caller_is_not_sent_to_the_operators_commands() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    for (status, said, code) in [
        (400, "smollm2 does not support tools", "model_cannot"),
        (500, "llama runner: out of memory", "out_of_memory"),
        (500, "unable to load model: /models/x", "model_broken"),
        (404, "model 'smollm2' not found", "model_not_found"),
    ] {
        fake.set("/api/chat", status, &json!({"error": said}).to_string());
        let error = refused(&module, native(hi().to_string())).await;
        assert_eq!(error.code(), code, "{error:?}");
        let hint = error.hint().unwrap_or_default();
        assert!(
            !hint.contains("miner models") && !hint.contains("OLLAMA_"),
            "{hint}"
        );
    }
}

#[tokio::test]
async fn a_schema_that_it_cannot_read_is_no_failure_of_the_engine() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    let said = json!({"error": "invalid JSON schema in format"}).to_string();
    fake.set("/api/chat", 500, &said);
    let error = refused(&module, native(hi().to_string())).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "invalid_schema")
    );
}

#[tokio::test]
async fn what_a_program_asks_in_ollamas_own_words_goes_in_them() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    fake.set("/api/chat", 200, RED);
    let mut request = Request::new("smollm2", Prompt::Messages(vec![Message::user("hi")]));
    request.other.insert(
        "ollama".to_owned(),
        json!({"options": {"mirostat": 1}, "keep_alive": 0}),
    );
    module
        .run_inference(Input::from_request(Task::CHAT, request))
        .await
        .unwrap();
    let asked = sent(&fake, "/api/chat");
    assert_eq!(
        (&asked["options"], asked.get("keep_alive")),
        (&json!({"mirostat": 1}), None)
    );
}

#[tokio::test]
async fn tools_that_must_not_be_called_are_not_named() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    fake.set("/api/chat", 200, RED);
    let mut body = hi();
    body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    body["tool_choice"] = "none".into();
    // On its own route for OpenAI's clients Ollama does not read it.
    module.run_inference(openai(&body)).await.unwrap();
    assert_eq!(sent(&fake, "/api/chat").get("tools"), None);
}

#[tokio::test]
async fn sizes_that_no_disk_has_are_no_panic() {
    let fake = ollama(&["a:latest", "b:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    assert_eq!(module.get_capabilities().resources.disk_bytes, u64::MAX);
}

#[tokio::test]
async fn a_health_check_loads_nothing() {
    let fake = ollama(&[]).await;
    let module = module(&fake, |builder| builder).await;
    // One that does not say its context comes, and cannot be loaded within a check.
    fake.set("/api/tags", 200, &tags(&["slow:latest"]));
    fake.set("/api/show", 200, r#"{"capabilities":["completion"]}"#);
    fake.set("/api/generate", 0, "");
    let check = tokio::time::timeout(Duration::from_secs(20), module.health_check()).await;
    assert!(check.expect("it does not wait").unwrap().is_serving());
    let claimed = module.get_capabilities();
    assert_eq!(
        (claimed.models[0].id.as_str(), claimed.models[0].context_length),
        ("slow:latest", None)
    );
}

#[tokio::test]
async fn those_who_wait_for_a_frozen_ollama_are_told_together() {
    let fake = ollama(&["smollm2:latest"]).await;
    let module = module(&fake, |builder| builder).await;
    fake.set("/api/tags", 0, "");
    tokio::time::pause();
    let begun = Instant::now();
    let (one, other, third) = tokio::join!(
        module.health_check(),
        module.health_check(),
        module.health_check()
    );
    for health in [one, other, third] {
        assert_eq!(health.unwrap_err().code(), "ollama_silent");
    }
    // The limit of one question.
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}
