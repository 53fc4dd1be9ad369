//! Ollama's own ways, of which a caller must not be the victim.

use futures_util::future::join_all;
use parts::ollama::{self, MODEL, Start};
use serde_json::json;
use synapse_core::{ErrorKind, FinishReason, HealthStatus, InferenceModule as _, Input, Message, Retry};
use synapse_miner::ollama::{KeepAlive, OllamaModule};

use crate::asking::{CHAT, KINDS, ask, asked, connect, post};

#[tokio::test]
async fn a_prompt_that_is_too_long_is_an_error_and_not_cut() {
    for kind in KINDS {
        let ollama = Start::new(kind).variable("OLLAMA_CONTEXT_LENGTH", "256").start();
        let module = connect(&ollama).await;
        let long = "one two three four five six seven eight nine ten ".repeat(60);
        let messages = json!([{"role": "user", "content": long}]);
        // Ollama itself says nothing of it, and answers to what is left.
        let body = json!({"model": MODEL, "messages": messages, "max_tokens": 1}).to_string();
        let direct = post(&ollama.url(), CHAT, body).await;
        assert!(direct.starts_with("HTTP/1.1 200"), "{kind}: {direct}");

        for (path, body) in [
            (
                CHAT,
                json!({"model": MODEL, "messages": messages, "max_tokens": 1}),
            ),
            (
                CHAT,
                json!({"model": MODEL, "messages": messages, "max_tokens": 1, "stream": true}),
            ),
            (
                "/v1/completions",
                json!({"model": MODEL, "prompt": long, "max_tokens": 1}),
            ),
            ("/api/chat", json!({"model": MODEL, "messages": messages})),
            ("/api/generate", json!({"model": MODEL, "prompt": long})),
        ] {
            let error = ask(&module, path, &body)
                .await
                .map(|said| said.text)
                .expect_err("it is too long");
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Invalid, "context_length_exceeded"),
                "{kind} {path}: {error:?}"
            );
        }
        let of_rust = Input::chat(MODEL, [Message::user(long)]);
        let error = module.run_inference(of_rust).await.expect_err("it is too long");
        assert_eq!(error.code(), "context_length_exceeded", "{kind}");
        // One that fits by a hair, though it has more bytes than the context has tokens, is answered.
        let fits = json!([{"role": "user", "content": "one two three four five six seven eight nine ten ".repeat(6)}]);
        let body = json!({"model": MODEL, "messages": fits, "max_tokens": 2});
        assert_eq!(
            ask(&module, CHAT, &body).await.expect("a reply").output_tokens,
            2,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_context_that_the_operator_set_is_what_is_loaded_and_advertised() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = OllamaModule::builder(ollama.url())
            .context_length(512)
            .keep_alive(KeepAlive::Forever)
            .build()
            .expect("an address");
        module.initialize().await.expect("an Ollama");
        assert_eq!(
            module.get_capabilities().models[0].context_length,
            Some(512),
            "{kind}"
        );
        // OpenAI's format cannot say it, nor does Ollama hear `max_completion_tokens` there.
        let reply = ask(&module, CHAT, &asked(&json!({"max_completion_tokens": 3})))
            .await
            .expect("a reply");
        assert_eq!(
            (reply.output_tokens, reply.finish),
            (3, Some(FinishReason::Length)),
            "{kind}"
        );
        let loaded = module.models().loaded().await.expect("a list");
        assert_eq!(loaded[0].context_length, 512, "{kind}");
        let native = asked(
            &json!({"options": {"num_predict": 2, "num_ctx": 256, "num_gpu": 0, "num_thread": 2}, "keep_alive": 0}),
        );
        ask(&module, "/api/chat", &native).await.expect("a reply");
        let still = module.models().loaded().await.expect("a list");
        assert_eq!(
            still.iter().map(|model| model.context_length).collect::<Vec<_>>(),
            [512],
            "{kind}: a caller had it loaded anew"
        );

        for (other, code) in [
            (json!({"options": {"num_ctx": 4096}}), "context_length_exceeded"),
            (json!({"shift": false}), "shift_unsupported"),
        ] {
            let error = ask(&module, "/api/chat", &asked(&other))
                .await
                .map(|said| said.text)
                .expect_err("refused");
            assert_eq!(error.code(), code, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_seed_repeats_a_reply_and_none_does_not() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let seeded = asked(&json!({"seed": 11, "temperature": 1, "max_tokens": 12}));
        let first = ask(&module, CHAT, &seeded).await.expect("a reply").text;
        assert_eq!(
            ask(&module, CHAT, &seeded).await.expect("a reply").text,
            first,
            "{kind}"
        );
        let free = asked(&json!({"temperature": 2, "max_tokens": 12}));
        let mut replies = Vec::new();
        for _ in 0..4 {
            replies.push(ask(&module, CHAT, &free).await.expect("a reply").text);
        }
        replies.dedup();
        assert!(replies.len() > 1, "{kind}: {replies:?}");
    }
}

#[tokio::test]
async fn a_model_that_left_memory_is_loaded_again() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        ask(&module, CHAT, &asked(&json!({"max_tokens": 1})))
            .await
            .expect("a reply");
        module.models().unload(MODEL).await.expect("it is unloaded");
        assert_eq!(
            module.health_check().await.expect("health").status(),
            HealthStatus::Ready,
            "{kind}"
        );
        ask(&module, CHAT, &asked(&json!({"max_tokens": 1})))
            .await
            .expect("a reply");
        assert_eq!(module.models().loaded().await.expect("a list").len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_full_queue_is_an_overload_that_somebody_else_may_answer() {
    for kind in KINDS {
        let ollama = Start::new(kind).variable("OLLAMA_MAX_QUEUE", "1").start();
        let module = OllamaModule::builder(ollama.url())
            .context_length(512)
            .build()
            .expect("an address");
        module.initialize().await.expect("an Ollama");
        // While the model is loaded nobody else is served, and one may wait.
        let body = asked(&json!({"max_tokens": 1}));
        let replies = join_all((0..16).map(|_| ask(&module, CHAT, &body))).await;
        let (answered, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
        assert!(
            !answered.is_empty() && !refused.is_empty(),
            "{kind}: {} and {}",
            answered.len(),
            refused.len()
        );
        for error in refused.into_iter().filter_map(Result::err) {
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Overloaded, "engine_overloaded"),
                "{kind}: {error}"
            );
            assert_eq!(error.retry(), Retry::Elsewhere);
        }
    }
}

#[tokio::test]
async fn requests_that_come_while_a_model_is_loading_are_answered_once_it_is() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let module = connect(&ollama).await;
        let body = asked(&json!({"max_tokens": 1}));
        let replies = join_all((0..6).map(|_| ask(&module, CHAT, &body))).await;
        for reply in replies {
            assert_eq!(reply.expect("a reply").output_tokens, 1, "{kind}");
        }
        // It was loaded once: whoever came first had its context known for all.
        assert_eq!(module.models().loaded().await.expect("a list").len(), 1, "{kind}");
    }
}
