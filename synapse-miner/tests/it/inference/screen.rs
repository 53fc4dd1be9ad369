//! What no engine is handed, before fakes that note whether they were asked: no real one says what it would have fetched.

use serde_json::{Value, json};
use synapse_core::{ErrorKind, InferenceModule, Input, Task, Wire};
use synapse_http::OpenAi;
use synapse_miner::{
    inference::{LlamaServerModule, VllmModule},
    ollama::OllamaModule,
};

use super::fake::Fake;

const CHAT: &str = "/v1/chat/completions";
const REPLY: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Red"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

/// Each of the modules that know their engine, before a fake of it.
async fn engines() -> Vec<(Fake, Box<dyn InferenceModule>)> {
    let llama = Fake::start(&[
        ("/health", 200, r#"{"status":"ok"}"#),
        (
            "/props",
            200,
            r#"{"default_generation_settings":{"n_ctx":512},"total_slots":2,"build_info":"b11549-1a2b3c"}"#,
        ),
        ("/v1/models", 200, r#"{"data":[{"id":"m"}]}"#),
        ("/v1/completions", 400, "{}"),
        ("/v1/embeddings", 501, "{}"),
        (CHAT, 200, REPLY),
    ])
    .await;
    let vllm = Fake::start(&[
        ("/health", 200, ""),
        ("/version", 200, r#"{"version":"0.32.0"}"#),
        ("/metrics", 200, ""),
        ("/v1/models", 200, r#"{"data":[{"id":"m","max_model_len":512}]}"#),
        (CHAT, 200, REPLY),
    ])
    .await;
    let shown = json!({"capabilities": ["completion", "vision"], "parameters": "num_ctx 40960"});
    let ollama = Fake::start(&[
        ("/api/version", 200, r#"{"version":"0.17.4"}"#),
        (
            "/api/tags",
            200,
            r#"{"models":[{"name":"m","digest":"d","size":1}]}"#,
        ),
        ("/api/ps", 200, r#"{"models":[]}"#),
        ("/api/show", 200, &shown.to_string()),
        ("/v1/models", 200, r#"{"data":[]}"#),
        (CHAT, 200, REPLY),
    ])
    .await;
    let modules: [Box<dyn InferenceModule>; 3] = [
        Box::new(LlamaServerModule::connect(llama.url()).await.unwrap()),
        Box::new(VllmModule::connect(vllm.url()).await.unwrap()),
        Box::new(OllamaModule::builder(ollama.url()).build().unwrap()),
    ];
    for module in &modules {
        module.initialize().await.unwrap();
    }
    [llama, vllm, ollama].into_iter().zip(modules).collect()
}

fn asks(body: impl Into<String>) -> Input {
    let json = "application/json".parse().unwrap();
    let wire = Wire::new(OpenAi::DIALECT, CHAT, json, body.into());
    Input::from_wire(Task::CHAT, wire)
}

fn of_parts(parts: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":4,"messages":[{{"role":"system","content":"a"}},{{"role":"user","content":[{{"type":"text","text":"What is it?"}},{parts}]}}]}}"#
    )
}

#[tokio::test]
async fn an_address_never_reaches_an_engine() {
    let engines = engines().await;
    for part in [
        r#"{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest/meta-data"}}"#,
        r#"{"type":"image_url","image_url":"https://example.com/a.png"}"#,
        r#"{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}"#,
        r#"{"type":"image_url","image_url":{"url":"//10.0.0.1/a.png"}}"#,
        r#"{"image_url":{"detail":"low","url":"\u0068ttp:\/\/10.0.0.1"},"type":"image_url"}"#,
        r#"{"type":"image_url","image_url":{"\u0075rl":"ftp://10.0.0.1"}}"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","url":"http://10.0.0.1"}}"#,
        r#"{"type":"audio_url","audio_url":{"url":"http://10.0.0.1/a.wav"}}"#,
        r#"{"type":"video_url","video_url":{"URL":"HTTP://10.0.0.1/a.mp4"}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"http://10.0.0.1/a.wav","format":"wav"}}"#,
        r#"{"type":"file","file":{"file_data":" file:///etc/passwd"}}"#,
        r#"{"type":"image","source":{"sources":[{"type":"url","url":"http://10.0.0.1"}]}}"#,
        // A part that says that it is text may be read as what else it holds.
        r#"{"type":"text","text":"a","image_url":{"url":"http://10.0.0.1"}}"#,
    ] {
        for (fake, module) in &engines {
            let name = module.get_capabilities().name;
            let asked = module.run_inference(asks(of_parts(part))).await;
            let error = asked.map(drop).unwrap_err();
            assert_eq!(
                (error.kind(), error.code(), error.param()),
                (ErrorKind::Invalid, "remote_media", Some("messages[1].content[1]")),
                "{name} {part}: {error}"
            );
            assert!(error.hint().unwrap().contains("data:"), "{error}");
            assert_eq!(fake.times(CHAT), 0, "{name} {part}");
        }
    }
}

#[tokio::test]
async fn data_and_words_about_addresses_do() {
    let engines = engines().await;
    let body: Value = json!({
        "model": "m", "max_tokens": 4, "metadata": {"url": "https://example.com"},
        "messages": [
            {"role": "system", "content": "https://example.com"},
            {"role": "user", "content": [
                {"type": "text", "text": "http://10.0.0.1 is what?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            ]},
        ],
    });
    for (fake, module) in &engines {
        let name = module.get_capabilities().name;
        module
            .run_inference(asks(body.to_string()))
            .await
            .map(drop)
            .unwrap();
        assert_eq!(fake.times(CHAT), 1, "{name}");
        assert_eq!(
            fake.asked(CHAT).1,
            body.to_string(),
            "{name}: not a byte is changed"
        );
    }
}

#[tokio::test]
async fn a_field_that_reaches_past_its_request_is_refused() {
    let engines = engines().await;
    let asked = |field: &str| {
        format!(r#"{{"model":"m","max_tokens":4,{field},"messages":[{{"role":"user","content":"Hi"}}]}}"#)
    };
    let never = (ErrorKind::Unsupported, "field_unsupported");
    let range = (ErrorKind::Invalid, "out_of_range");
    for (engine, field, name, expected) in [
        (0, r#""n_probs":21"#, "n_probs", range),
        (0, r#""n_probs":1e9"#, "n_probs", range),
        (0, r#""n_probs":-1"#, "n_probs", range),
        (0, r#""n_probs":2,"n_probs":100000"#, "n_probs", range),
        (0, r#""\u006e_probs":100000"#, "n_probs", range),
        (0, r#""n_predict":-1"#, "n_predict", never),
        (0, r#""id_slot":0"#, "id_slot", never),
        (0, r#""slot_id":0"#, "slot_id", never),
        (0, r#""lora":[{"id":0,"scale":1.0}]"#, "lora", never),
        (1, r#""priority":-100"#, "priority", never),
        (1, r#""request_id":"cmpl-1""#, "request_id", never),
        (
            1,
            r#""kv_transfer_params":{"remote_host":"10.0.0.1"}"#,
            "kv_transfer_params",
            never,
        ),
    ] {
        let (fake, module) = &engines[engine];
        let error = module
            .run_inference(asks(asked(field)))
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!((error.kind(), error.code()), expected, "{field}: {error}");
        assert_eq!(error.param(), Some(name), "{field}");
        assert_eq!(fake.times(CHAT), 0, "{field}");
    }
    for (engine, field) in [
        (0, r#""n_probs":20"#),
        (0, r#""id_slot":null,"cache_prompt":true"#),
        (1, r#""id_slot":1,"priority":null"#),
    ] {
        let (fake, module) = &engines[engine];
        module.run_inference(asks(asked(field))).await.map(drop).unwrap();
        assert_eq!(fake.asked(CHAT).1, asked(field));
    }
}
