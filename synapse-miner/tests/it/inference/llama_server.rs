//! llama-server with faults that a real one cannot be made to have at a wish: the server behind this is a fake.

use std::time::Duration;

use serde_json::json;
use synapse_core::{Capacity, ErrorKind, InferenceModule as _, Input, Message};
use synapse_http::OpenAiModule;
use synapse_miner::inference::LlamaServerModule;
use tokio::time::{sleep, timeout};

use super::fake::{Fake, NEVER};

const PATIENCE: Duration = Duration::from_secs(60);
const PROPS: &str = r#"{"default_generation_settings":{"n_ctx":512},"total_slots":2,"model_alias":"m",
    "model_path":"MODEL","build_info":"b11549-1a2b3c","endpoint_slots":true,"endpoint_metrics":true}"#;

async fn server(model: &str) -> Fake {
    Fake::start(&[
        ("/health", 200, r#"{"status":"ok"}"#),
        ("/props", 200, &PROPS.replace("MODEL", model)),
        ("/v1/models", 200, r#"{"data":[{"id":"m","meta":{"n_vocab":9}}]}"#),
        ("/v1/completions", 400, "{}"),
        ("/v1/embeddings", 501, "{}"),
        ("/metrics", NEVER, ""),
        ("/slots", NEVER, ""),
        ("/v1/chat/completions", NEVER, ""),
    ])
    .await
}

#[tokio::test]
async fn requests_of_ours_are_what_it_is_busy_with_where_it_is_too_late_to_say() {
    let fake = server("").await;
    let module = LlamaServerModule::connect(fake.url()).await.unwrap();
    let ask = || {
        let module = module.clone();
        tokio::spawn(async move {
            module
                .run_inference(Input::chat("m", [Message::user("Hi")]))
                .await
        })
    };
    let requests = [ask(), ask(), ask()];
    timeout(PATIENCE, async {
        while fake.times("/v1/chat/completions") < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let health = module.health_check().await.unwrap();
    assert_eq!(health.capacity(), Some(Capacity::new(2, 2).with_waiting(1)));
    for request in requests {
        request.abort();
    }
}

/// Whatever a caller can have a server answer 500 to would else open the breaker for everybody.
#[tokio::test]
async fn what_it_cannot_read_is_no_failure_of_the_engine() {
    let fake = server("").await;
    let module = LlamaServerModule::connect(fake.url()).await.unwrap();
    let template = "\n------------\nWhile executing CallExpression at line 1, column 9 in source:\n{{ raise }}\nError: Jinja Exception: roles must alternate";
    let cases = [
        (
            "image input is not supported - hint: you may need to provide the mmproj",
            ErrorKind::Unsupported,
            "model_cannot",
        ),
        (
            "Unknown reasoning format: zz",
            ErrorKind::Invalid,
            "upstream_refused",
        ),
        (
            "Cannot use both json_schema and grammar",
            ErrorKind::Invalid,
            "upstream_refused",
        ),
        (template, ErrorKind::Invalid, "upstream_refused"),
        ("Compute error.", ErrorKind::Broken, "upstream_failed"),
        // The caller's words, not the server's.
        (
            "failed to decode: image input is not supported",
            ErrorKind::Broken,
            "upstream_failed",
        ),
    ];
    for (said, kind, code) in cases {
        let body = json!({"error": {"code": 500, "message": said, "type": "server_error"}});
        fake.set("/v1/chat/completions", 500, &body.to_string());
        let asked = module
            .run_inference(Input::chat("m", [Message::user("Hi")]))
            .await;
        let error = asked.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, code), "{said}: {error}");
        assert!(!error.message().contains("{{"), "{error}");
    }
}

#[tokio::test]
async fn many_who_ask_how_it_is_make_one_request_also_where_it_is_not_well() {
    let fake = server("").await;
    let module = LlamaServerModule::connect(fake.url()).await.unwrap();
    fake.set("/health", 500, "{}");
    let before = fake.times("/health");
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let module = module.clone();
            tokio::spawn(async move { module.health_check().await })
        })
        .collect();
    for answer in asked {
        assert!(answer.await.unwrap().is_err());
    }
    let times = fake.times("/health") - before;
    assert!(times < 4, "asked {times} times");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_model_that_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("model.gguf");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let fake = server(pipe.to_str().unwrap()).await;
    let module = LlamaServerModule::local(OpenAiModule::builder(fake.url())).unwrap();
    let connected = timeout(Duration::from_secs(10), module.initialize()).await;
    // Whoever waits for a writer is let go.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&pipe));
    connected.expect("in time").unwrap();
    assert_eq!(module.get_capabilities().model("m").unwrap().digest, None);
}
