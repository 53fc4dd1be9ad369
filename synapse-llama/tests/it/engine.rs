//! Several requests at once.

use std::time::Instant;

use synapse_core::FinishReason;
use synapse_llama::LlamaError;
use synapse_llama::engine::GenerateRequest;

use crate::support::{Reply, answer, ask, endless, engine, read, tokenizer, until};
use synapse_core::Tokenizer;

#[tokio::test]
async fn eight_requests_over_four_sequences_each_get_their_own_answer() {
    let engine = engine(|_| {});
    let questions = [
        ("What color is the sky?", "blue"),
        ("What language is spoken in Spain?", "spanish"),
        ("What is the capital of Japan?", "tokyo"),
        ("What is the capital of Germany?", "berlin"),
    ];
    let started = Instant::now();
    let replies: Vec<_> = questions
        .iter()
        .chain(&questions)
        .map(|(question, _)| engine.generate(ask(question, 24)))
        .collect();
    let mut tokens = 0;
    for (generation, (question, expected)) in replies.into_iter().zip(questions.iter().chain(&questions)) {
        let reply = read(generation.expect("it is taken")).await;
        assert!(
            reply.text.to_lowercase().contains(expected),
            "{question}: {}",
            reply.text
        );
        tokens += reply.usage.output_tokens;
    }
    println!(
        "8 requests over 4 sequences: {tokens} tokens in {:?}",
        started.elapsed()
    );
    let stats = engine.stats();
    assert_eq!(
        (stats.started, stats.finished, stats.active, stats.queued),
        (8, 8, 0, 0)
    );
    assert!(stats.decode_steps < tokens, "steps are shared: {stats:?}");
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_again_once_one_is_done() {
    let engine = engine(|config| (config.parallel, config.queue) = (1, 1));
    let mut running = engine.generate(endless(400)).expect("it is taken");
    running.next().await.expect("an event").expect("no error");
    let waiting = engine.generate(endless(2)).expect("it waits");
    let refused = engine.generate(endless(2));
    assert!(
        matches!(
            refused,
            Err(LlamaError::Overloaded {
                parallel: 1,
                queue: 1
            })
        ),
        "{refused:?}"
    );
    assert_eq!((engine.stats().queued, engine.stats().refused), (1, 1));
    drop(running);
    assert_eq!(read(waiting).await.reason, FinishReason::Length);
    // Who read the end finds room at once.
    assert_eq!(answer(&engine, endless(2)).await.reason, FinishReason::Length);
}

#[tokio::test]
async fn a_long_prompt_does_not_stop_a_reply_that_is_being_written() {
    let engine = engine(|config| (config.context_length, config.batch) = (Some(1024), 64));
    let mut running = engine.generate(endless(400)).expect("it is taken");
    running.next().await.expect("an event").expect("no error");
    let long = tokenizer()
        .encode(&"one two three four five six ".repeat(140))
        .expect("it tokenises");
    assert!(long.len() > 800);
    let mut request = GenerateRequest::new(long);
    request.max_tokens = Some(1);
    let before = engine.stats();
    let long = tokio::spawn(read(engine.generate(request).expect("it is taken")));
    let mut meanwhile = 0;
    while !long.is_finished() {
        running.next().await.expect("an event").expect("no error");
        meanwhile += 1;
    }
    let steps = engine.stats().decode_steps - before.decode_steps;
    assert!(steps >= 12, "the prompt is read in pieces: {steps} steps");
    assert!(meanwhile >= 8, "{meanwhile} tokens were written meanwhile");
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody() {
    let engine = engine(|config| config.parallel = 2);
    let slow = engine.generate(endless(60)).expect("it is taken");
    let fast = answer(&engine, endless(60)).await;
    assert_eq!(fast.usage.output_tokens, 60);
    until("the slow one is done too", || engine.stats().active == 0).await;
    let Reply { text, .. } = read(slow).await;
    assert_eq!(text, fast.text);
}

#[tokio::test]
async fn engines_share_one_copy_of_the_weights() {
    let (one, two) = (engine(|_| {}), engine(|_| {}));
    let (a, b) = tokio::join!(answer(&one, endless(20)), answer(&two, endless(20)));
    assert_eq!(a.text, b.text);
}
