//! What the recorded table says of llama-server, asked of a running one.

use std::time::Duration;

use parts::llama_server::{MODEL, Start};
use serde_json::{Value, json};
use synapse_core::{Error, InferenceModule as _, Task, testkit::Conformance};
use synapse_http::{OpenAiModule, client::Upstream};
use synapse_miner::inference::{
    LlamaServerModule,
    features::{self, Feature, Known, Release, Support},
};

/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);
const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

struct Server(OpenAiModule);

impl Server {
    async fn post(&self, path: &str, fields: Value) -> Result<Value, Error> {
        let text = self.text(path, fields).await?;
        Ok(serde_json::from_str(&text).expect("JSON"))
    }

    async fn text(&self, path: &str, fields: Value) -> Result<String, Error> {
        let mut body = json!({"model": MODEL, "max_tokens": 4});
        if path == CHAT {
            body["messages"] = json!([{"role": "user", "content": "Name a colour."}]);
        }
        if path == TEXT {
            body["prompt"] = json!("Red, green");
        }
        let fields = fields.as_object().expect("fields").clone();
        body.as_object_mut().expect("an object").extend(fields);
        let bytes = self.0.post(path, &body, PATIENCE).await?;
        Ok(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// The status with which it refuses.
    async fn refusal(&self, path: &str, fields: Value) -> Option<u16> {
        let error = self.text(path, fields).await.err()?;
        Upstream::of(&error)?.status().map(|status| status.as_u16())
    }
}

#[tokio::test]
async fn the_table_is_what_the_server_does() {
    let running = Start::new().start();
    // It closes a connection after a streamed reply without having said so.
    let client = |url| {
        OpenAiModule::builder(url)
            .idle_connections(0)
            .build()
            .expect("a client")
    };
    let server = Server(client(running.url()));
    let plain = Start::new()
        .flags(&["--no-slots", "--embeddings", "--pooling", "mean"])
        .start();
    let other = Server(client(plain.url()));
    let module = LlamaServerModule::connect(&running.url())
        .await
        .expect("a llama-server");
    let version = module.version().expect("a version");
    let release = Release::of("llama-server", &version).expect("a row");
    assert!(matches!(release.known, Known::Probed(_)));

    for (feature, support) in release.features() {
        let found = probe(&server, &other, &module, feature).await;
        let expected = support != Support::No;
        assert_eq!(found, expected, "{feature}, where the table says {support}");
    }
}

/// Whether `server` does it; where it takes a flag, also that `other` does the opposite without it.
async fn probe(server: &Server, other: &Server, module: &LlamaServerModule, feature: Feature) -> bool {
    let usage = json!({"stream": true, "stream_options": {"include_usage": true}});
    match feature {
        Feature::Chat => {
            let reply = server.post(CHAT, json!({})).await.expect("a chat");
            reply["choices"][0]["message"]["content"].is_string()
        }
        Feature::Completions => {
            let reply = server.post(TEXT, json!({})).await.expect("a completion");
            reply["choices"][0]["text"].is_string()
        }
        Feature::Embeddings => {
            let refused = server.refusal("/v1/embeddings", json!({"input": "x"})).await;
            let reply = other
                .post("/v1/embeddings", json!({"input": "x"}))
                .await
                .expect("a vector");
            refused == Some(501) && reply["data"][0]["embedding"].is_array()
        }
        Feature::Streaming => {
            let events = server.text(CHAT, json!({"stream": true})).await.expect("events");
            events.matches("data: ").count() > 3 && events.ends_with("data: [DONE]\n\n")
        }
        Feature::Usage => {
            let events = server.text(CHAT, usage).await.expect("events");
            events.contains(r#""completion_tokens":4"#)
        }
        Feature::Logprobs => {
            let asked = json!({"logprobs": true, "top_logprobs": 20});
            let reply = server.post(CHAT, asked).await.expect("a chat");
            let top = &reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"];
            top.as_array().is_some_and(|top| top.len() == 20)
        }
        Feature::TokenIds => {
            let reply = server
                .post(CHAT, json!({"logprobs": true}))
                .await
                .expect("a chat");
            let without = server
                .text(CHAT, json!({"return_tokens": true}))
                .await
                .expect("a chat");
            reply["choices"][0]["logprobs"]["content"][0]["id"].is_u64() && !without.contains("tokens\":[")
        }
        Feature::PromptLogprobs => {
            let reply = server
                .text(TEXT, json!({"prompt_logprobs": 1, "logprobs": 1}))
                .await;
            reply.expect("a completion").contains("prompt_logprobs")
        }
        // This model's template has no tools: they are taken, and none is called.
        Feature::Tools => {
            let tools =
                json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
            server.post(CHAT, json!({"tools": tools})).await.is_ok()
        }
        Feature::JsonSchema => {
            let schema =
                json!({"type": "object", "properties": {"red": {"type": "boolean"}}, "required": ["red"]});
            let format = json!({"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}});
            let asked = json!({"response_format": format, "max_tokens": 48});
            let reply = server.post(CHAT, asked).await.expect("a chat");
            let text = reply["choices"][0]["message"]["content"]
                .as_str()
                .expect("a text");
            serde_json::from_str::<Value>(text).is_ok_and(|value| value["red"].is_boolean())
        }
        Feature::ContextRefused => {
            let long = "word ".repeat(1200);
            server.refusal(TEXT, json!({"prompt": long})).await == Some(400)
        }
        // `a_caller_who_leaves_frees_the_slot` is about nothing else.
        Feature::Cancel => true,
        Feature::Tokenize => {
            let tokens = module.tokenize("Red, green").await.expect("tokens");
            module.detokenize(&tokens).await.expect("a text") == "Red, green"
        }
        Feature::Slots => {
            let limit = Duration::from_secs(30);
            server.0.get("/slots", limit).await.is_ok() && other.0.get("/slots", limit).await.is_err()
        }
        Feature::Metrics => {
            let limit = Duration::from_secs(30);
            server.0.get("/metrics", limit).await.is_ok() && other.0.get("/metrics", limit).await.is_err()
        }
        unknown => panic!("nobody asks for {unknown}"),
    }
}

#[tokio::test]
async fn a_server_that_embeds_too_passes_the_conformance_suite() {
    let server = Start::new().flags(&["--embeddings", "--pooling", "mean"]).start();
    let module = LlamaServerModule::connect(&server.url())
        .await
        .expect("a llama-server");
    let can = module.get_capabilities();
    assert_eq!(can.tasks, [Task::EMBEDDINGS, Task::CHAT, Task::TEXT_COMPLETION]);
    // Replies are sampled: a text that goes on, so that none ends before its first word.
    Conformance::new()
        .prompt("Once upon a time, in a small village by the sea, there was a")
        .timeout(PATIENCE)
        .run(module)
        .await
        .assert();
}

#[test]
fn the_page_of_the_book_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/engines.md");
    if std::env::var_os("SYNAPSE_WRITE_REFERENCE").is_some() {
        std::fs::write(path, features::reference()).expect("the page is written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        page,
        features::reference(),
        "write it anew: SYNAPSE_WRITE_REFERENCE=1 cargo test -p engines --test llama_server_features page"
    );
}
