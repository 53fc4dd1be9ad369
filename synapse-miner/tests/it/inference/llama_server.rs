//! llama-server with faults that a real one cannot be made to have at a wish: the server behind this is a fake.

use std::time::Duration;

use synapse_core::{Capacity, InferenceModule as _, Input, Message};
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
