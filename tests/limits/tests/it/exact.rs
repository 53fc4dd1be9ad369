//! A hundred tasks on one key: reserved less given back is at most the burst and what the rate adds, in every interval.

use std::{sync::Arc, time::Duration};

use crate::places::{InProcess, InRedis, PROMPT, Place, ask, settled, speaking};
use futures_util::{StreamExt, future::join_all};
use synapse_core::{Allowance, ApiKey, ErrorKind, InferenceModule, Input, Output};
use synapse_validator::rate_limit::{Limits, RateLimitLayer};

const BURST: u64 = 5_000;
const TASKS: u32 = 100;
const ROUNDS: u32 = 20;
/// Microseconds in which a token comes back.
const PER_TOKEN: u64 = 60_000_000 / BURST;

fn on_one_key(tokens: u32, words: u32) -> Input {
    let mut input = ask(tokens, words);
    let mut allowance = Allowance::default();
    allowance.tokens_per_minute = Some(BURST);
    input.extensions_mut().insert(ApiKey::new("key", allowance));
    input
}

/// What a round took and gave back, at one moment.
#[derive(Debug, Default)]
struct Round {
    at: u64,
    taken: u64,
    given_back: u64,
}

/// Rounds, in each of which all tasks ask at once, and then some end what they have. Each round is one moment, so that the
/// reference does not depend on who was first.
async fn recorded(place: &impl Place, layers: &[RateLimitLayer]) -> Vec<Round> {
    let stacks: Vec<_> = layers
        .iter()
        .cloned()
        .map(|layer| Arc::new(speaking(layer)))
        .collect();
    let mut open: Vec<(u64, u64, Output)> = Vec::new();
    let (mut rounds, mut at) = (Vec::new(), 0);
    // In parts of a token, as much as comes back in a microsecond.
    let mut level: u64 = 0;
    let mut refusals = 0;
    for number in 0..ROUNDS {
        let mut round = Round {
            at,
            ..Round::default()
        };
        let asked = join_all((0..TASKS).map(|task| {
            let stack = stacks[task as usize % stacks.len()].clone();
            let tokens = PROMPT + (task * 37 + number * 101) % 140;
            let words = (task * 13 + number * 7) % (tokens - PROMPT + 1);
            tokio::spawn(async move {
                let reply = stack.run_inference(on_one_key(tokens, words.max(1))).await;
                (u64::from(tokens), u64::from(words.max(1)), reply)
            })
        }));
        let mut refused = Vec::new();
        for answer in asked.await {
            let (tokens, words, reply) = answer.unwrap();
            match reply {
                Ok(output) => {
                    round.taken += tokens;
                    open.push((tokens, words, output));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
                    refused.push(tokens);
                }
            }
        }
        // The reference: all that was let in fits, and nothing that was refused would have fitted then.
        level += round.taken * PER_TOKEN;
        assert!(
            level <= BURST * PER_TOKEN,
            "round {number}: {} tokens too many",
            level / PER_TOKEN - BURST
        );
        for tokens in refused {
            refusals += 1;
            assert!(
                level + tokens * PER_TOKEN > BURST * PER_TOKEN,
                "round {number}: {tokens} tokens fit"
            );
        }
        for (tokens, words, mut output) in std::mem::take(&mut open) {
            // Some hear all, some leave at once, some stay.
            match (tokens + u64::from(number)) % 3 {
                0 => {
                    while output.body.next().await.is_some() {}
                    round.given_back += tokens.saturating_sub(u64::from(PROMPT) + words);
                }
                1 => round.given_back += tokens - u64::from(PROMPT),
                _ => open.push((tokens, words, output)),
            }
        }
        for layer in layers {
            settled(layer).await;
        }
        level = level.saturating_sub(round.given_back * PER_TOKEN);
        let pause = 100_000 + u64::from(number % 5) * 2_345_677;
        place.pass(Duration::from_micros(pause)).await;
        level = level.saturating_sub(pause);
        at += pause;
        rounds.push(round);
    }
    assert!(refusals > TASKS, "{refusals} refusals");
    rounds
}

/// In every interval: what was reserved less what was given back ≤ burst + rate × time.
fn check(rounds: &[Round]) {
    for (first, since) in rounds.iter().enumerate() {
        let mut net = 0;
        for round in &rounds[first..] {
            net += i128::from(round.taken);
            let allowed = i128::from(BURST) + i128::from((round.at - since.at) / PER_TOKEN);
            assert!(
                net <= allowed,
                "{net} tokens from {} to {} µs, {allowed} allowed",
                since.at,
                round.at
            );
            net -= i128::from(round.given_back);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_tasks_on_one_key_in_process() {
    let layer = InProcess.layer(Limits::none()).await;
    check(&recorded(&InProcess, &[layer]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_on_one_key_in_redis() {
    let place = InRedis::start();
    let layer = place.layer(Limits::none()).await;
    check(&recorded(&place, &[layer]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_never_exceed_a_limit_together() {
    let place = InRedis::start();
    let layers = [
        place.layer(Limits::none()).await,
        place.layer(Limits::none()).await,
    ];
    check(&recorded(&place, &layers).await);
}
