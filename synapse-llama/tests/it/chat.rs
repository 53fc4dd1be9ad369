//! What comes out: sane answers, streamed, stopped, repeated, measured.

use synapse_core::{FinishReason, Tokenizer};
use synapse_llama::engine::Sampling;

use crate::support::{answer, ask, endless, engine, tokenizer};

#[tokio::test]
async fn a_question_is_answered_in_pieces() {
    let engine = engine(|_| {});
    let reply = answer(&engine, ask("Name three primary colours.", 60)).await;
    let lower = reply.text.to_lowercase();
    assert!(
        ["red", "blue", "yellow"]
            .iter()
            .all(|colour| lower.contains(colour)),
        "{}",
        reply.text
    );
    assert!(!reply.text.contains("<|im_end|>"));
    assert!(reply.events > 5, "{} events", reply.events);
    assert_eq!(reply.tokens.len() as u64, reply.usage.output_tokens);
    let pieces: Vec<u8> = reply
        .tokens
        .iter()
        .flat_map(|token| token.bytes.to_vec())
        .collect();
    assert_eq!(String::from_utf8_lossy(&pieces), reply.text);
}

#[tokio::test]
async fn the_cap_ends_a_reply_with_length() {
    let engine = engine(|_| {});
    let reply = answer(&engine, endless(7)).await;
    assert_eq!(
        (reply.reason, reply.usage.output_tokens),
        (FinishReason::Length, 7)
    );
    assert_eq!(reply.usage.input_tokens, endless(7).prompt.len() as u64);
}

#[tokio::test]
async fn a_full_context_ends_a_reply_with_length() {
    let engine = engine(|config| config.context_length = Some(64));
    let mut request = endless(64);
    request.max_tokens = None;
    let reply = answer(&engine, request).await;
    assert_eq!(reply.reason, FinishReason::Length);
    assert_eq!(reply.usage.total(), 64);
}

#[tokio::test]
async fn the_model_says_itself_when_it_is_done() {
    let engine = engine(|_| {});
    let reply = answer(&engine, ask("Say only the word yes.", 200)).await;
    assert_eq!(reply.reason, FinishReason::Stop);
    assert!(reply.usage.output_tokens < 200);
}

#[tokio::test]
async fn stop_texts_end_a_reply_across_tokens_and_are_not_in_it() {
    let engine = engine(|_| {});
    let whole = answer(&engine, endless(40)).await;
    // From the middle of one token to the middle of another.
    let (start, end) = (whole.text.len() / 2, whole.text.len() / 2 + 5);
    let stop = &whole.text[start..end];
    assert!(tokenizer().encode(stop).expect("it tokenises").len() > 1);
    let mut request = endless(40);
    request.stop = vec!["not to be found".to_owned(), stop.to_owned()];
    let cut = answer(&engine, request).await;
    assert_eq!(
        cut.text,
        whole.text[..whole.text.find(stop).expect("it is in there")]
    );
    assert_eq!(cut.reason, FinishReason::Stop);
    assert!(cut.usage.output_tokens < 40);
}

#[tokio::test]
async fn greedy_repeats_itself() {
    let engine = engine(|_| {});
    let first = answer(&engine, endless(30)).await;
    assert_eq!(answer(&engine, endless(30)).await, first);
}

#[tokio::test]
async fn a_seed_repeats_a_reply_and_another_seed_does_not() {
    let engine = engine(|_| {});
    let with_seed = |seed| {
        let mut request = ask("Tell me a story.", 24);
        request.sampling = Sampling::default();
        request.sampling.temperature = 1.2;
        request.sampling.seed = seed;
        request
    };
    let first = answer(&engine, with_seed(Some(7))).await.text;
    assert_eq!(answer(&engine, with_seed(Some(7))).await.text, first);
    assert_ne!(answer(&engine, with_seed(Some(8))).await.text, first);
    assert_ne!(answer(&engine, with_seed(None)).await.text, first);
}

#[tokio::test]
async fn log_probabilities_are_sorted_and_sum_to_at_most_one() {
    let engine = engine(|_| {});
    let mut request = ask("Name three primary colours.", 12);
    request.top_logprobs = Some(20);
    let reply = answer(&engine, request).await;
    assert!(!reply.tokens.is_empty());
    for token in &reply.tokens {
        let id = token.id.expect("tokens have ids");
        let logprobs = token.logprobs.as_ref().expect("they were asked for");
        assert_eq!(logprobs.top.len(), 20);
        let sum: f32 = logprobs.top.iter().map(|other| other.logprob.exp()).sum();
        assert!(sum <= 1.0001 && sum > 0.1, "{sum}");
        assert!(logprobs.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        // Greedy takes the likeliest.
        assert_eq!(
            (logprobs.top[0].id, logprobs.top[0].logprob),
            (Some(id), logprobs.logprob)
        );
        assert_eq!(logprobs.top[0].bytes, token.bytes);
    }
    let mut request = ask("Name three primary colours.", 2);
    request.top_logprobs = Some(0);
    let bare = answer(&engine, request).await;
    assert!(bare.tokens.iter().all(|token| {
        token
            .logprobs
            .as_ref()
            .is_some_and(|logprobs| logprobs.top.is_empty())
    }));
}

#[tokio::test]
async fn a_bias_bans_and_forces_tokens() {
    let engine = engine(|_| {});
    let first = answer(&engine, endless(1)).await.tokens[0]
        .id
        .expect("tokens have ids");
    let mut request = endless(4);
    request.sampling.logit_bias = vec![(first, -100.0)];
    assert!(
        answer(&engine, request)
            .await
            .tokens
            .iter()
            .all(|token| token.id != Some(first))
    );
    let mut request = endless(4);
    request.sampling.logit_bias = vec![(first, 100.0)];
    assert!(
        answer(&engine, request)
            .await
            .tokens
            .iter()
            .all(|token| token.id == Some(first))
    );
}
