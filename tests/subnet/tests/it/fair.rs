//! Who gets how much of a miner that is asked for more than it can do, over real sockets. Everything is counted and nothing
//! timed: the engine ends a reply when its callers have sent so many requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use synapse_miner::access::CallerLimits;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::operated::{Answer, Miner, SLOTS, Validator, WAITING};

const PATIENCE: Duration = Duration::from_secs(120);

/// A validator that keeps so many requests under way, whatever becomes of them.
#[derive(Clone, Default)]
struct Load {
    sent: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Load {
    fn begin(validator: &Validator, at_once: usize, senders: &mut JoinSet<()>) -> Self {
        let load = Self::default();
        for _ in 0..at_once {
            let (load, validator) = (load.clone(), validator.clone());
            senders.spawn(async move {
                while !load.over.load(SeqCst) {
                    load.sent.fetch_add(1, SeqCst);
                    match validator.ask().await {
                        Answer::Whole => drop(load.answered.fetch_add(1, SeqCst)),
                        Answer::Refused(error) => assert!(
                            ["queue_full", "queue_displaced"].contains(&error.code()),
                            "{error:?}"
                        ),
                        Answer::Broken(words, error) => panic!("broken after {words} words: {error:?}"),
                    }
                }
            });
        }
        load
    }

    fn sent(&self) -> usize {
        self.sent.load(SeqCst)
    }

    fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    fn end(&self) {
        self.over.store(true, SeqCst);
    }
}

/// Waits until it is so, while nobody who sends fails.
async fn until(senders: &mut JoinSet<()>, what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        if let Some(ended) = senders.try_join_next() {
            ended.unwrap();
        }
        assert!(since.elapsed() < PATIENCE, "never {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_a_hundred_to_one_leaves_an_equal_validator_its_half() {
    const ENOUGH: usize = 16;
    let miner = Miner::start(CallerLimits::default()).await;
    let (calm, flood) = (miner.validator(1_000).await, miner.validator(1_000).await);
    let mut senders = JoinSet::new();
    // More than there is room for: most of it is refused, and sent again.
    let flooding = Load::begin(&flood, WAITING + 16, &mut senders);
    until(&mut senders, "full", || miner.queue.waiting() == WAITING).await;
    let before = flooding.sent();
    let asking = Load::begin(&calm, 12, &mut senders);
    until(&mut senders, "calm's turn", || miner.waiting_of(&calm) >= SLOTS).await;
    // What it began with.
    for _ in 0..SLOTS {
        miner.end_one();
    }
    until(&mut senders, "at it", || flooding.answered() == SLOTS).await;
    // A reply ends once the flood has sent a hundred requests for each of the calm one's.
    while asking.answered() < ENOUGH {
        until(&mut senders, "flooded", || {
            flooding.sent() >= before + 100 * asking.sent()
        })
        .await;
        until(&mut senders, "asked by both", || {
            miner.waiting_of(&calm) >= SLOTS && miner.waiting_of(&flood) >= SLOTS
        })
        .await;
        let now = asking.answered() + flooding.answered();
        miner.end_one();
        until(&mut senders, "answered", || {
            asking.answered() + flooding.answered() > now
        })
        .await;
    }
    let (of_calm, of_flood) = (asking.answered(), flooding.answered() - SLOTS);
    let (sent, sent_by_flood) = (asking.sent(), flooding.sent() - before);
    let share = 100 * of_calm / (of_calm + of_flood);
    eprintln!(
        "fair: flood of {sent_by_flood} requests beside {sent}: {of_calm} replies of {} ({share} %) for the calm one",
        of_calm + of_flood
    );
    for load in [&asking, &flooding] {
        load.end();
    }
    miner.end_all();
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    miner.stop().await;
    assert!(share >= 45, "{share} %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stakes_of_three_to_one_split_the_replies_three_to_one() {
    const ENOUGH: usize = 240;
    let miner = Miner::start(CallerLimits::default()).await;
    let validators = [miner.validator(3_000).await, miner.validator(1_000).await];
    let mut senders = JoinSet::new();
    let loads = [
        Load::begin(&validators[0], 24, &mut senders),
        Load::begin(&validators[1], 24, &mut senders),
    ];
    let waits = || validators.iter().all(|one| miner.waiting_of(one) >= SLOTS);
    until(&mut senders, "asked by both", waits).await;
    let answered = || loads[0].answered() + loads[1].answered();
    while answered() < ENOUGH {
        until(&mut senders, "asked by both", waits).await;
        let now = answered();
        miner.end_one();
        until(&mut senders, "answered", || answered() > now).await;
    }
    let [rich, poor] = [loads[0].answered(), loads[1].answered()];
    eprintln!("fair: stakes of 3:1 split {ENOUGH} replies {rich}:{poor}");
    for load in &loads {
        load.end();
    }
    miner.end_all();
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    miner.stop().await;
    assert!((27 * poor..=33 * poor).contains(&(10 * rich)), "{rich}:{poor}");
}
