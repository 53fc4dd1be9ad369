//! Callers, engines and modules that end.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use parts::ollama::{self, MODEL};
use serde_json::json;
use synapse_core::{ErrorKind, InferenceModule as _, Retry};
use synapse_miner::ollama::{Models, OllamaModule};

use crate::asking::{CHAT, KINDS, ask, asked, connect, request, said};

#[tokio::test]
async fn a_caller_who_leaves_stops_the_engine() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        // Hundreds of tokens, of which the engine writes some dozens a second, in its only place.
        let long = json!({"model": MODEL, "messages": [{"role": "user", "content": "Count to one thousand in words."}],
            "stream": true, "max_tokens": 3000, "temperature": 0, "frequency_penalty": 0.5});
        let mut output = module.run_inference(request(CHAT, &long)).await.expect("a reply");
        output.body.next().await.expect("a chunk").expect("it is one");
        let capacity = module
            .health_check()
            .await
            .expect("health")
            .capacity()
            .expect("capacity");
        assert_eq!(capacity.busy, 1, "{kind}");
        let left = Instant::now();
        drop(output);
        ask(&module, CHAT, &asked(&json!({"max_tokens": 1})))
            .await
            .expect("a reply");
        let waited = left.elapsed();
        assert!(
            waited < Duration::from_secs(30),
            "{kind}: the engine went on for {waited:?}"
        );
        eprintln!("{kind}: another caller was answered {waited:?} after the one before left");
        // So does one who leaves before there is anything.
        let asked_too_much = module.run_inference(request(CHAT, &long));
        assert!(
            tokio::time::timeout(Duration::from_millis(5), asked_too_much)
                .await
                .is_err(),
            "{kind}"
        );
        let left = Instant::now();
        ask(&module, CHAT, &asked(&json!({"max_tokens": 1})))
            .await
            .expect("a reply");
        assert!(left.elapsed() < Duration::from_secs(30), "{kind}");
    }
}

#[tokio::test]
async fn shutting_down_waits_for_what_is_under_way() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = OllamaModule::builder(ollama.url())
            .unload_on_shutdown(true)
            .build()
            .expect("an address");
        module.initialize().await.expect("an Ollama");
        let output = module.run_inference(request(CHAT, &asked(&json!({"stream": true, "max_tokens": 30}))));
        let output = output.await.expect("a reply");
        let (reply, closed) = tokio::join!(said(output), module.shutdown());
        closed.expect("it is shut down");
        assert!(reply.expect("a whole reply").finish.is_some(), "{kind}");
        let error = module
            .run_inference(request(CHAT, &asked(&json!({}))))
            .await
            .expect_err("it is shut down");
        assert_eq!(error.code(), "shut_down");
        let models = Models::connect(&ollama.url()).await.expect("an Ollama");
        for _ in 0..100 {
            if models.loaded().await.expect("a list").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(models.loaded().await.expect("a list"), [], "{kind}");
    }
}

#[tokio::test]
async fn an_engine_that_dies_breaks_the_reply_at_once() {
    for kind in KINDS {
        let mut ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let long = asked(&json!({"stream": true, "max_tokens": 1000}));
        let mut output = module.run_inference(request(CHAT, &long)).await.expect("a reply");
        output.body.next().await.expect("a chunk").expect("it is one");
        let killed = Instant::now();
        ollama.kill();
        let error = said(output).await.map(|said| said.text).expect_err("it is dead");
        assert_eq!(error.kind(), ErrorKind::Broken, "{kind}: {error}");
        assert!(
            killed.elapsed() < Duration::from_secs(2),
            "{kind}: {:?}",
            killed.elapsed()
        );
        let error = module
            .run_inference(request(CHAT, &long))
            .await
            .expect_err("it is dead");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Elsewhere),
            "{kind}: {error}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        let error = module.health_check().await.expect_err("nobody knows");
        assert_eq!(error.code(), "ollama_unreachable", "{kind}");
    }
}
