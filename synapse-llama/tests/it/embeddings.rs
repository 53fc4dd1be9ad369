//! Pooled states.

use std::time::Instant;

use synapse_core::Tokenizer;
use synapse_llama::LlamaError;
use synapse_llama::engine::Engine;

use crate::support::{answer, endless, engine, tokenizer, until};

async fn embed(engine: &Engine, text: &str) -> Vec<f32> {
    engine
        .embed(tokenizer().encode(text).expect("it tokenises"))
        .await
        .expect("it is embedded")
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn embeddings_are_unit_vectors_that_repeat_and_compare() {
    let engine = engine(|_| {});
    let cat = embed(&engine, "A cat sleeps on the warm sofa.").await;
    assert_eq!(cat.len(), 576);
    assert!((dot(&cat, &cat) - 1.0).abs() < 1e-5);
    let other = embed(&engine, "Interest rates rose by two percent in March.").await;
    let kitten = embed(&engine, "A kitten sleeps on the soft sofa.").await;
    assert_eq!(
        embed(&engine, "A cat sleeps on the warm sofa.").await,
        cat,
        "the same bits"
    );
    assert!(dot(&cat, &kitten) > dot(&cat, &other));
}

#[tokio::test]
async fn a_text_of_many_chunks_repeats_whatever_else_goes_on() {
    let engine = engine(|_| {});
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(15);
    let started = Instant::now();
    let alone = embed(&engine, &text).await;
    println!(
        "embedding {} tokens: {:?}",
        tokenizer().encode(&text).expect("it tokenises").len(),
        started.elapsed()
    );
    let mut reply = engine.generate(endless(300)).expect("it is taken");
    reply.next().await.expect("an event").expect("no error");
    let beside = embed(&engine, &text).await;
    assert_eq!(alone, beside);
}

#[tokio::test]
async fn long_texts_are_refused_and_dropped_ones_let_go() {
    let engine = engine(|config| config.context_length = Some(300));
    let refused = engine.embed(vec![5; 300]).await;
    assert!(
        matches!(
            refused,
            Err(LlamaError::PromptTooLong {
                prompt_tokens: 300,
                context_length: 300
            })
        ),
        "{refused:?}"
    );
    let abandoned =
        tokio::time::timeout(std::time::Duration::from_millis(1), engine.embed(vec![5; 299])).await;
    assert!(abandoned.is_err());
    until("all is free", || {
        (engine.stats().active, engine.stats().queued) == (0, 0)
    })
    .await;
    assert_eq!(answer(&engine, endless(2)).await.usage.output_tokens, 2);
}

#[tokio::test]
async fn texts_are_taken_together_or_not_at_all() {
    let engine = engine(|config| (config.parallel, config.queue) = (1, 0));
    let texts: Vec<_> = ["one", "two words", "three of them", "one"]
        .map(|text| tokenizer().encode(text).expect("it tokenises"))
        .into();
    let embedding = tokio::spawn({
        let (engine, texts) = (engine.clone(), texts.clone());
        async move { engine.embed_all(texts).await }
    });
    until("it is begun", || engine.stats().started == 1).await;
    // Others ask for its place all the while, and get it only once it is done.
    while let Err(refused) = engine.generate(endless(1)) {
        assert!(matches!(refused, LlamaError::Overloaded { .. }), "{refused:?}");
        tokio::task::yield_now().await;
    }
    let vectors = embedding
        .await
        .expect("no panic")
        .expect("it is not refused midway");
    assert_eq!(vectors.len(), 4);
    assert!(vectors[0] == vectors[3] && vectors[0] != vectors[1]);
    until("all is free", || {
        engine.stats().queued == 0 && engine.stats().active == 0
    })
    .await;
    assert_eq!(
        engine.embed(texts[1].clone()).await.expect("a vector"),
        vectors[1]
    );
}

#[tokio::test]
async fn texts_are_bounded_together() {
    let engine = engine(|config| config.context_length = Some(300));
    for texts in [Vec::new(), vec![vec![5; 299]; 33]] {
        let refused = engine.embed_all(texts).await;
        assert!(
            matches!(refused, Err(LlamaError::InvalidParameter { name: "input", .. })),
            "{refused:?}"
        );
    }
    assert_eq!(engine.stats().started, 0);
}

#[tokio::test]
async fn requests_of_several_texts_take_turns_and_can_be_left() {
    let engine = engine(|_| {});
    let long = tokio::spawn({
        let engine = engine.clone();
        async move { engine.embed_all(vec![vec![5; 250]; 30]).await }
    });
    until("it is begun", || engine.stats().started == 1).await;
    engine.embed(vec![5; 10]).await.expect("a vector");
    assert!(!long.is_finished(), "one text need not wait for thirty");
    long.abort();
    until("all is free", || {
        (engine.stats().active, engine.stats().queued) == (0, 0)
    })
    .await;
    assert_eq!(engine.stats().cancelled, 1);
}
