//! Exact, however many ask at once.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, InferenceModule, Input, Message, ModuleExt, Output, Prompt,
    Request, Task, testkit::Scripted,
};
use synapse_validator::rate_limit::{Quota, RateLimitLayer};
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_quota_is_let_in_however_many_ask_at_once() {
    let admitted = Arc::new(AtomicUsize::new(0));
    let counted = admitted.clone();
    let stack = Scripted::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(Output::new(Body::whole("ok"))) }
    })
    .with(RateLimitLayer::per_caller(Quota::requests_per_day(50)));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let stack = stack.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let _ = stack
                        .run_inference(Input::chat("m", [Message::user("hello")]))
                        .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(admitted.load(Ordering::Relaxed), 50);
}

/// What happened to the account, in its order.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Asked { cost: u64, admitted: bool },
    GaveBack(u64),
}

#[tokio::test(start_paused = true)]
async fn a_hundred_tasks_never_take_more_than_burst_and_rate_allow() {
    const BURST: u64 = 3_000;
    const NANOS_PER_TOKEN: u128 = 60_000_000_000 / BURST as u128;
    let began = Instant::now();
    let log: Arc<Mutex<Vec<(u128, Entry)>>> = Arc::default();
    let write = {
        let log = log.clone();
        move |entry| log.lock().unwrap().push((began.elapsed().as_nanos(), entry))
    };
    // Says `word` as often as its seed tells it, over some time, or fails before it says anything.
    let stack = Scripted::new(|input| async move {
        let seed = input.params()?.seed.unwrap_or(0).unsigned_abs();
        if seed % 7 == 0 {
            return Err(Error::broken("scripted", "a scripted failure"));
        }
        let words = futures_util::stream::iter(0..seed % 20).then(move |at| async move {
            sleep(Duration::from_millis(seed % 400)).await;
            let chunk = Chunk::delta(Delta::text("word"));
            Ok(if at + 1 == seed % 20 {
                chunk.into_last()
            } else {
                chunk
            })
        });
        Ok(Output::new(Body::new(words)))
    })
    .with(RateLimitLayer::per_caller(Quota::tokens_per_minute(BURST)));
    let tasks: Vec<_> = (0..100_u64)
        .map(|task| {
            let (stack, write) = (stack.clone(), write.clone());
            tokio::spawn(async move {
                let mut seed = task;
                for _ in 0..12 {
                    seed = seed
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let random = seed >> 33;
                    sleep(Duration::from_millis(random % 5_000)).await;
                    let max = u32::try_from(random % 200).unwrap();
                    let cost = 3 + u64::from(max);
                    let request = Request::new("m", Prompt::Messages(vec![Message::user("hello")]))
                        .with_params(|params| {
                            params.max_tokens = Some(max);
                            params.seed = Some(i64::try_from(random % 1_000).unwrap());
                        });
                    let input = Input::from_request(Task::CHAT, request);
                    match stack.run_inference(input).await {
                        Err(error) if error.kind() == ErrorKind::RateLimited => {
                            write(Entry::Asked {
                                cost,
                                admitted: false,
                            });
                        }
                        Err(_) => {
                            write(Entry::Asked { cost, admitted: true });
                            write(Entry::GaveBack(cost));
                        }
                        Ok(mut output) => {
                            write(Entry::Asked { cost, admitted: true });
                            let leaves_after = random % 30;
                            let mut words = 0;
                            while words < leaves_after {
                                match output.body.next().await {
                                    Some(Ok(_)) => words += 1,
                                    _ => break,
                                }
                            }
                            drop(output);
                            write(Entry::GaveBack(cost - (3 + words).min(cost)));
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    // The reference: a bucket that leaks, in tokens × nanoseconds a token, decides each request as the limiter did.
    let log = log.lock().unwrap();
    let (mut level, mut at) = (0_u128, 0_u128);
    let mut refusals = 0;
    for (now, entry) in log.iter() {
        level = level.saturating_sub(now - at);
        at = *now;
        match entry {
            Entry::Asked { cost, admitted } => {
                let after = level + u128::from(*cost) * NANOS_PER_TOKEN;
                let fits = after <= u128::from(BURST) * NANOS_PER_TOKEN;
                assert_eq!(fits, *admitted, "{cost} tokens at {now} ns");
                if fits {
                    level = after;
                } else {
                    refusals += 1;
                }
            }
            Entry::GaveBack(tokens) => level = level.saturating_sub(u128::from(*tokens) * NANOS_PER_TOKEN),
        }
    }
    assert!((50..1_150).contains(&refusals), "{refusals} of 1200 refused");

    // And in every interval: what was reserved less what was given back ≤ burst + rate × time.
    for (start, (since, _)) in log.iter().enumerate() {
        let mut net = 0_i128;
        for (now, entry) in &log[start..] {
            match entry {
                Entry::Asked { cost, admitted: true } => net += i128::from(*cost),
                Entry::Asked { .. } => {}
                Entry::GaveBack(tokens) => net -= i128::from(*tokens),
            }
            let allowed = i128::from(BURST) + i128::try_from((now - since) / NANOS_PER_TOKEN).unwrap();
            assert!(
                net <= allowed,
                "{net} tokens from {since} to {now} ns, {allowed} allowed"
            );
        }
    }
}
