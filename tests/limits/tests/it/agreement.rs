//! One trace, recorded over the accounts in process and over Redis: the same verdicts, waits and what is left, to the
//! nanosecond.

use std::{error::Error as _, net::IpAddr, time::Duration};

use crate::places::{InProcess, InRedis, PROMPT, Place, ask, settled, speaking};
use futures_util::StreamExt;
use synapse_core::{Allowance, ApiKey, Caller, ClientIp, InferenceModule, RateLimitStatus, RateLimited};
use synapse_validator::rate_limit::{Limits, Quota};

/// Numbers that look random, and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }

    fn small(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(end.into())).unwrap()
    }
}

fn limits(random: &mut Random) -> Limits {
    let some = |random: &mut Random, quota: fn(u64) -> Quota, most: u64| match random.below(3) {
        0 => Quota::UNLIMITED,
        _ => quota(most / 2 + random.below(most)),
    };
    let caller = some(random, Quota::requests_per_second, 6)
        .and(some(random, Quota::requests_per_minute, 40))
        .and(some(random, Quota::tokens_per_minute, 1_500))
        .and(some(random, Quota::tokens_per_day, 700_001));
    Limits::per_caller(caller)
        .per_address(some(random, Quota::requests_per_hour, 900).and(some(
            random,
            Quota::tokens_per_second,
            400,
        )))
        .per_model("m", some(random, Quota::tokens_per_hour, 999_999_999_999))
        .for_everybody(some(random, Quota::requests_per_minute, 70).and(some(
            random,
            Quota::token_budget_per_day,
            30_000,
        )))
}

/// What is told of a trace: a line a request.
async fn play(place: &impl Place, seed: u64, steps: usize) -> Vec<String> {
    let mut random = Random(seed);
    let layer = place.layer(limits(&mut random)).await;
    let stack = speaking(layer.clone());
    let (mut told, mut open) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        match random.below(12) {
            0 => place.pass(Duration::from_micros(random.below(20_000_000))).await,
            1 => place.pass(Duration::from_micros(random.below(600_000_000))).await,
            2 | 3 => place.pass(Duration::from_micros(random.below(900_000))).await,
            4 if random.below(8) == 0 => layer.set_limits(limits(&mut random)),
            4..=6 if !open.is_empty() => {
                // A client that leaves after some words, or hears all of them.
                let at = usize::try_from(random.below(open.len() as u64)).unwrap();
                let mut output: synapse_core::Output = open.swap_remove(at);
                for _ in 0..random.below(300) {
                    if output.body.next().await.is_none() {
                        break;
                    }
                }
                drop(output);
                settled(&layer).await;
            }
            _ => {
                let tokens = PROMPT + random.small(400);
                let mut input = ask(tokens, random.small(tokens).max(1));
                let extensions = input.extensions_mut();
                extensions.insert(Caller::new(format!("caller-{}", random.below(3))));
                extensions.insert(ClientIp(IpAddr::from([
                    192,
                    0,
                    2,
                    random.below(2).to_be_bytes()[7],
                ])));
                if random.below(3) == 0 {
                    let mut allowance = Allowance::default();
                    allowance.requests_per_minute = Some(10 + random.below(2));
                    allowance.tokens_per_day = Some(9_000);
                    allowance.tokens_per_month = Some(60_000);
                    extensions.insert(ApiKey::new("key", allowance));
                }
                told.push(match stack.run_inference(input).await {
                    Ok(output) => {
                        let left = output.head.extensions().get::<RateLimitStatus>().copied();
                        open.push(output);
                        format!("let in: {left:?}")
                    }
                    Err(error) => {
                        settled(&layer).await;
                        let left = error
                            .source()
                            .and_then(|source| source.downcast_ref::<RateLimited>());
                        format!("{} {error} {:?} {left:?}", error.code(), error.retry())
                    }
                });
            }
        }
    }
    told
}

fn in_process(seed: u64, steps: usize) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play(&InProcess, seed, steps))
}

fn in_redis(seed: u64, steps: usize) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(play(&InRedis::start(), seed, steps))
}

#[test]
fn both_say_the_same_of_a_trace() {
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for seed in [7, 1_001, 31_337, 4_242_424_242] {
        let (here, there) = (in_process(seed, 1_500), in_redis(seed, 1_500));
        for (at, (here, there)) in here.iter().zip(&there).enumerate() {
            assert_eq!(
                here, there,
                "request {at} of trace {seed}; left: in process, right: in Redis"
            );
            let code = here.split([' ', ':']).next().unwrap_or_default();
            *codes.entry(code.to_owned()).or_default() += 1;
        }
        assert_eq!(here.len(), there.len());
    }
    println!("{codes:?}");
    for code in ["let", "rate_limited", "budget_exhausted", "request_exceeds_quota"] {
        assert!(
            codes.get(code).is_some_and(|times| *times > 20),
            "{code}: {codes:?}"
        );
    }
}
