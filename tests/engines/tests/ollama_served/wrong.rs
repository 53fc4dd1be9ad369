//! Models that are not there, or not whole.

use std::{fs, time::Duration};

use parts::ollama::{self, MODEL};
use serde_json::json;
use synapse_core::{ErrorKind, HealthStatus, InferenceModule as _};
use synapse_miner::ollama::OllamaModule;

use crate::asking::{CHAT, KINDS, ask, connect};

#[tokio::test]
async fn a_model_that_is_not_there_is_named_with_the_remedy() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let error = ask(
            &module,
            CHAT,
            &json!({"model": "nobody", "messages": [{"role": "user", "content": "Hi"}]}),
        )
        .await
        .map(|said| said.text)
        .expect_err("no such model");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "model_not_found"),
            "{kind}: {error}"
        );
        let wanted = OllamaModule::builder(ollama.url())
            .model("nobody")
            .build()
            .expect("an address");
        let error = wanted.initialize().await.expect_err("no such model");
        assert_eq!(
            (error.code(), error.hint()),
            (
                "model_not_found",
                Some("fetch it with `miner models pull nobody`")
            )
        );
        // One of two is there: it is served, and health says which is not.
        let both = OllamaModule::builder(ollama.url())
            .model("smollm2")
            .model("nobody")
            .build()
            .expect("an address");
        both.initialize().await.expect("one of them");
        let health = both.health_check().await.expect("health");
        assert_eq!(
            (health.status(), health.reason()),
            (HealthStatus::Degraded, Some("Ollama has no model nobody")),
            "{kind}"
        );
        ask(
            &both,
            CHAT,
            &json!({"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}),
        )
        .await
        .expect("a reply");
        // The last one goes while it is served.
        both.models().remove(MODEL).await.expect("it is gone");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            both.health_check().await.expect("health").status(),
            HealthStatus::Unhealthy,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_corrupted_model_is_an_error_that_names_the_remedy() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let weights = ollama
            .home()
            .join("models/blobs")
            .join(format!("sha256-{}", parts::ollama_image::MODEL_SHA256));
        let whole = fs::read(&weights).expect("the weights");
        // The file is another name of the one that other tests use: it is replaced, not written to.
        fs::remove_file(&weights).expect("it is removed");
        fs::write(&weights, &whole[..20 << 20]).expect("it is written");
        let error = OllamaModule::connect(&ollama.url())
            .await
            .expect_err("it is broken");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "model_broken"),
            "{kind}: {error:?}"
        );
        assert!(
            error.to_string().contains("miner models pull smollm2"),
            "{kind}: {error}"
        );
    }
}
