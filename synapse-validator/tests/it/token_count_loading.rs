//! Vocabularies that are loaded when they are first needed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use synapse_core::{
    Body, Delta, Error, InferenceModule, Input, ModuleExt, Output, Precision, Prompt, Request, Task,
    testkit::Scripted,
};
use synapse_validator::token_count::{PromptTokens, TokenCountLayer, Tokenizers, Vocabulary};
use tokio::time::{Instant, advance};

use crate::{format::Bytes, log::Log};

/// A module that answers with the count that a layer inside sees.
fn counting(tokenizers: Tokenizers) -> (impl InferenceModule, TokenCountLayer) {
    let layer = TokenCountLayer::new(tokenizers);
    let stack = Scripted::new(|input| {
        let count = input.extensions().get::<PromptTokens>().map(PromptTokens::count);
        let exact = count.is_some_and(|count| count.precision() == Precision::Exact);
        let answer = Delta::text(if exact { "exact" } else { "estimated" });
        async move { Ok(Output::new(Body::from_deltas([answer]))) }
    })
    .with(layer.clone())
    .attach(layer.clone());
    (stack, layer)
}

async fn ask(module: &impl InferenceModule, model: &str) -> String {
    let prompt = Prompt::Texts(vec!["twelve bytes".to_owned()]);
    let input = Input::from_request(Task::EMBEDDINGS, Request::new(model, prompt));
    let mut output = module.run_inference(input).await.unwrap();
    let chunk = output.body.next().await.unwrap().unwrap();
    chunk.deltas().unwrap()[0].text.clone()
}

fn bytes() -> Result<Vocabulary, Error> {
    Ok(Vocabulary::new(Arc::new(Bytes)))
}

#[tokio::test]
async fn many_first_requests_load_once_and_all_wait_for_it() {
    let loads = Arc::new(AtomicUsize::new(0));
    let (go, wait) = mpsc::channel::<()>();
    let (counted, wait) = (loads.clone(), std::sync::Mutex::new(wait));
    let tokenizers = Tokenizers::new().with_loader("llama*", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        wait.lock().unwrap().recv().unwrap();
        bytes()
    });
    let (module, _) = counting(tokenizers);
    let asked = join_all((0..100).map(|number| {
        let (module, model) = (&module, format!("llama-{number}"));
        async move { ask(module, &model).await }
    }));
    let loaded = async {
        // On this thread nothing waits: others go on while the vocabulary is loaded.
        while loads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&module, "another").await, "estimated");
        go.send(()).unwrap();
    };
    let (answers, ()) = tokio::join!(asked, loaded);
    assert!(answers.iter().all(|answer| answer == "exact"), "{answers:?}");
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_is_said_once_and_tried_again_later() {
    let log = Log::default();
    let _recorded = log.record();
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = loads.clone();
    let tokenizers =
        Tokenizers::new().with_loader("m", move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::unavailable(
                "no_file",
                "reading /models/m failed: no such file",
            )),
            1 => panic!("a file that is broken"),
            _ => bytes(),
        });
    let (module, _) = counting(tokenizers);
    let failures = || {
        module
            .get_metrics()
            .get("tokenizer.failures", &[("vocabulary", "m")])
    };
    for _ in 0..20 {
        assert_eq!(ask(&module, "m").await, "estimated");
    }
    assert_eq!((loads.load(Ordering::SeqCst), failures()), (1, Some(1.0)));
    // The second try begins with a request, which does not wait for it.
    advance(Duration::from_secs(15)).await;
    assert_eq!(ask(&module, "m").await, "estimated");
    while failures() != Some(2.0) {
        tokio::task::yield_now().await;
    }
    // Now twice as long.
    advance(Duration::from_secs(16)).await;
    assert_eq!(ask(&module, "m").await, "estimated");
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    advance(Duration::from_secs(15)).await;
    assert_eq!(ask(&module, "m").await, "estimated");
    while failures() != Some(0.0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&module, "m").await, "exact");
    assert_eq!(
        log.text().matches("could not be loaded").count(),
        1,
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn who_waits_too_long_for_a_load_is_estimated() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let tokenizers = Tokenizers::new().with_loader("m", move || {
        let _ = wait.lock().unwrap().recv();
        bytes()
    });
    let (module, _) = counting(tokenizers);
    tokio::time::pause();
    let begun = Instant::now();
    let asked = ask(&module, "m");
    let time = async {
        // A thread that blocks keeps the paused clock from going on by itself.
        while begun.elapsed() < Duration::from_secs(11) {
            tokio::task::yield_now().await;
            advance(Duration::from_millis(100)).await;
        }
    };
    let (answer, ()) = tokio::join!(asked, time);
    assert_eq!(answer, "estimated");
    drop(go);
}

#[tokio::test]
async fn what_is_loaded_now_says_what_is_wrong_with_it() {
    let wrong = || {
        Err(Error::unavailable(
            "no_file",
            "reading /models/m failed: no such file",
        ))
    };
    let tokenizers = Tokenizers::new().with_loader("a", bytes).with_loader("m", wrong);
    assert_eq!(tokenizers.load().await.unwrap_err().code(), "no_file");
    assert!(Tokenizers::new().with_loader("a", bytes).load().await.is_ok());
}

#[tokio::test]
async fn a_models_own_name_counts_before_the_longest_beginning() {
    let bad = || Err(Error::unavailable("no_file", "not this one"));
    let tokenizers = Tokenizers::new()
        .with_loader("*", bad)
        .with_loader("gpt-*", bad)
        .with_loader("gpt-4o*", bytes)
        .with("gpt-4", Arc::new(Bytes));
    let (module, _) = counting(tokenizers);
    for (model, expect) in [
        ("gpt-4o-mini", "exact"),
        ("gpt-4", "exact"),
        ("gpt-4-turbo", "estimated"),
        ("o1", "estimated"),
    ] {
        assert_eq!(ask(&module, model).await, expect, "{model}");
    }
}

#[cfg(feature = "openai-vocabularies")]
#[tokio::test]
async fn openais_models_are_counted_by_their_vocabularies() {
    let (module, _) = counting(Tokenizers::new().with_openai_models());
    for (model, expect) in [
        ("gpt-4o-mini", "exact"),
        ("ft:gpt-4o:acme::1", "exact"),
        ("text-embedding-3-small", "exact"),
        ("smollm2", "estimated"),
    ] {
        assert_eq!(ask(&module, model).await, expect, "{model}");
    }
}
