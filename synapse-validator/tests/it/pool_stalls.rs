//! A miner that stalls users and nobody else.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Caller, Chunk, Delta, EpochId, FinishReason, InferenceModule, Input, Member, Message,
    Output, Role, SubnetId,
    probe::{Probe, ask},
};
use synapse_validator::{
    EvidenceLog, ScorePolicy, StandardPolicy,
    evidence::EpochEvidence,
    pool::{Excluded, MinerPool, Only},
    score::Score,
};
use tokio::time::{sleep, timeout};

use crate::{
    fleet::{Fleet, Miner, endless_reply, read},
    score_fleet::factor,
};

/// Whoever tells probes apart knows them by their words.
fn is_probe(input: &Input) -> bool {
    let request = input.request().unwrap();
    request.messages()[0].content.text().unwrap() == "a probe"
}

fn asking(words: &str) -> Input {
    Input::chat("m", [Message::user(words)])
}

/// Ten pieces in half a second.
fn fluent() -> Output {
    let pieces = stream::iter(0..10).then(|_| async {
        sleep(Duration::from_millis(50)).await;
        Ok(Chunk::delta(Delta::text("a piece of text ")))
    });
    let end = Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last());
    Output::new(Body::new(Box::pin(pieces.chain(stream::iter([end])))))
}

fn stalling(stall: impl Fn() -> Option<Output> + Clone + Send + Sync + 'static) -> Miner {
    Miner::new(move |input: Input| {
        let stall = stall.clone();
        async move {
            if is_probe(&input) {
                return Ok(fluent());
            }
            match stall() {
                Some(output) => Ok(output),
                None => std::future::pending().await,
            }
        }
    })
}

/// How the miner is scored, whose users leave after so many seconds.
async fn scored(miner: Miner, patience: u64) -> Score {
    let log = EvidenceLog::new();
    log.open(EpochEvidence::new(
        SubnetId(7),
        "v".into(),
        EpochId(1),
        BlockNumber(1),
    ));
    let good = Miner::new(|_| async { Ok(fluent()) });
    let fleet = Fleet::of([("a", &miner), ("b", &good), ("c", &good)]);
    for name in ["a", "b", "c"] {
        log.member(&Member::new(name, Role::Miner), None);
    }
    let pool: Arc<MinerPool> = Arc::new(fleet.pool().witness(log.clone()));
    pool.initialize().await.unwrap();
    for name in ["a", "b", "c"] {
        for _ in 0..20 {
            let limit = Duration::from_secs(60);
            let probe = Probe::new("chat", asking("a probe"), limit);
            let input = Only::new(name.into()).like_a_users(probe.input.clone(), limit * 10);
            let answer = ask(&*pool, input, limit).await;
            log.probed(&name.into(), Some(&probe), &answer, &[]);
        }
        for number in 0..20 {
            // A user whom the balancer sends to this one.
            let mut input = asking("something else");
            input
                .extensions_mut()
                .insert(Caller::new(format!("user-{}", number % 4)));
            let others = ["a", "b", "c"].into_iter().filter(|other| *other != name);
            let excluded = Excluded::new(others.map(Into::into));
            input.extensions_mut().insert(excluded);
            let reading = async { read(pool.run_inference(input).await?).await };
            let _ = timeout(Duration::from_secs(patience), reading).await;
        }
    }
    let scores = StandardPolicy::default().score(&log.snapshot().unwrap());
    scores.check(&log.snapshot().unwrap()).unwrap();
    let [good, other] = ["b", "c"].map(|name| scores.get(&name.into()).unwrap().value());
    assert!(good > 0.9 && other > 0.9, "{scores:?}");
    scores.get(&"a".into()).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn before_the_first_content_it_is_as_slow_as_users_see_it() {
    let stalled = scored(stalling(|| None), 15).await;
    assert!(factor(&stalled, "first_content") < 0.05, "{stalled:?}");
    let text = &stalled.reasons[0].text;
    assert!(text.contains("users' requests, 250 ms asked for"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn within_the_reply_it_is_as_slow_as_users_see_it() {
    let stalled = scored(stalling(|| Some(endless_reply())), 15).await;
    assert!(factor(&stalled, "speed") < 0.05, "{stalled:?}");
    let text = &stalled.reasons[0].text;
    assert!(
        text.starts_with("0.1 tokens/s in the median of 20 users' requests"),
        "{text}"
    );
}
