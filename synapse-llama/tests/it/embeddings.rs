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
