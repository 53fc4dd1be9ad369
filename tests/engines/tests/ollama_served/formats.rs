//! What arrives, and what is claimed.

use std::time::Duration;

use futures_util::StreamExt as _;
use parts::ollama::{self, MODEL};
use serde_json::{Value, json};
use synapse_core::{HealthStatus, InferenceModule as _, Task, testkit::Conformance};

use crate::asking::{CHAT, KINDS, ask, asked, connect, request};

#[tokio::test]
async fn what_ollama_sends_arrives_byte_for_byte_in_both_formats() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let greedy = json!({"temperature": 0, "seed": 7, "max_tokens": 8});
        let ours = ask(&module, CHAT, &asked(&greedy)).await.expect("a reply");
        let native = asked(
            &json!({"stream": false, "options": {"temperature": 0, "seed": 7, "num_predict": 8, "top_p": 1}}),
        );
        let theirs = ask(&module, "/api/chat", &native).await.expect("a reply");
        assert_eq!(ours.text, theirs.text, "{kind}");
        assert!(!ours.text.is_empty(), "{kind}");
        // As Ollama writes it: its own fingerprint in OpenAI's format, its own durations in its own.
        let ours: Value = serde_json::from_slice(&ours.wire).expect("JSON");
        assert_eq!(ours["system_fingerprint"], "fp_ollama", "{kind}");
        let theirs: Value = serde_json::from_slice(&theirs.wire).expect("JSON");
        assert!(
            theirs["eval_duration"].is_u64() && theirs["done"] == true,
            "{kind}: {theirs}"
        );

        let streamed = ask(&module, CHAT, &asked(&json!({"stream": true, "max_tokens": 8})))
            .await
            .expect("a reply");
        let streamed = String::from_utf8(streamed.wire).expect("text");
        assert!(
            streamed.starts_with("data: {\"id\":\"chatcmpl-") && streamed.ends_with("data: [DONE]\n\n"),
            "{streamed}"
        );
        let lines = ask(
            &module,
            "/api/chat",
            &asked(&json!({"options": {"num_predict": 8}})),
        )
        .await
        .expect("a reply");
        let lines = String::from_utf8(lines.wire).expect("text");
        assert!(
            lines.lines().count() > 2 && lines.lines().all(|line| line.starts_with("{\"model\":")),
            "{lines}"
        );
    }
}

#[tokio::test]
async fn it_says_what_it_serves() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let claimed = module.get_capabilities();
        assert_eq!(
            (claimed.models.len(), claimed.models[0].id.as_str()),
            (1, MODEL),
            "{kind}"
        );
        let digest = format!("sha256:{}", parts::ollama_image::MODEL_SHA256);
        assert_eq!(claimed.models[0].digest, Some(digest), "{kind}");
        assert_eq!(claimed.dialects, ["openai", "ollama"]);
        assert_eq!(claimed.tasks, [Task::CHAT, Task::TEXT_COMPLETION], "{kind}");
        assert!(claimed.streaming && claimed.seeds && claimed.top_logprobs == 20 && !claimed.token_ids);
        // How long the context is, only loading it tells.
        assert_eq!(claimed.models[0].context_length, Some(4096), "{kind}");
        assert!(
            claimed.resources.memory_bytes > 90_000_000,
            "{kind}: {:?}",
            claimed.resources
        );

        let health = module.health_check().await.expect("health");
        assert_eq!(health.status(), HealthStatus::Ready, "{kind}");
        assert_eq!(
            health.capacity().map(|capacity| (capacity.slots, capacity.busy)),
            Some((Some(1), 0)),
            "{kind}"
        );
        let memory = module
            .get_metrics()
            .get("ollama.memory_bytes", &[("model", MODEL)]);
        assert!(memory.is_some_and(|bytes| bytes > 0.0), "{kind}: {memory:?}");
    }
}

#[tokio::test]
async fn logprobs_arrive_in_both_formats() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let openai = asked(&json!({"logprobs": true, "top_logprobs": 3, "max_tokens": 4}));
        let native = asked(&json!({"logprobs": true, "top_logprobs": 3, "options": {"num_predict": 4}}));
        for (path, body) in [(CHAT, openai), ("/api/chat", native)] {
            let output = module.run_inference(request(path, &body)).await.expect("a reply");
            let mut body = output.body;
            let mut tokens = 0;
            while let Some(chunk) = body.next().await {
                for token in chunk
                    .expect("a chunk")
                    .deltas()
                    .expect("deltas")
                    .iter()
                    .flat_map(|delta| &delta.tokens)
                {
                    let logprobs = token.logprobs.as_ref().expect("log-probabilities");
                    assert!(
                        logprobs.logprob <= 0.0 && logprobs.top.len() == 3,
                        "{kind} {path}"
                    );
                    tokens += 1;
                }
            }
            assert_eq!(tokens, 4, "{kind} {path}");
        }
    }
}

/// With the runner of its own alone: half a minute, and what is checked is the module.
#[tokio::test(flavor = "multi_thread")]
async fn it_behaves_as_every_module_must() {
    let ollama = ollama::start(KINDS[0]);
    let module = connect(&ollama).await;
    let report = Conformance::new()
        .timeout(Duration::from_secs(120))
        .run(module)
        .await;
    eprintln!("{report}");
    report.assert();
}
