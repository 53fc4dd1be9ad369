//! A validator that judges and miners that serve, killed at random moments: nothing is submitted twice, no epoch is mixed,
//! nobody registers twice, and nobody advertises what he does not serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use nodes_tests::{Block, Called, Process, Random, Subnet, ask, blocks, kills};
use serde_json::Value;
use synapse_validator::{
    ScorePolicy, StandardPolicy,
    state::{EpochRecord, Stage, State},
};
use tokio::time::{Instant, sleep};

/// Blocks of an epoch, and of those that take weights.
const EPOCH: u64 = 30;
const WEIGHING: u64 = 20;
const BLOCK: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_is_killed_again_and_again_submits_once_and_mixes_nothing() {
    let kills = kills(20);
    let mut random = Random::seeded("a validator");
    let subnet = Subnet::new();
    let chain = chain(&subnet).start().await;
    let validator_name = subnet.key("validator");
    subnet.register("validator", "validator").await;
    let mut miners = Vec::new();
    for number in 0..2 {
        let key = format!("miner-{number}");
        let _ = subnet.key(&key);
        subnet.register(&key, "miner").await;
        miners.push(subnet.miner(&key, 2, 2).start().await);
    }
    let process = subnet.validator("validator").arg("--probe-every=100ms");
    let mut validator = process.start().await;
    let at = validator.address();
    // When it was up, in milliseconds since 1970: from when it was ready to when it was killed.
    let mut up = Vec::new();
    let mut since = now();
    for round in 1..=kills {
        let until = Instant::now() + Duration::from_millis(100 + random.below(2_400));
        while Instant::now() < until {
            if let Ok(mut reply) = ask(at, "how do you do").await {
                let _ = reply.text().await;
            }
            sleep(Duration::from_millis(50)).await;
        }
        up.push((since, now()));
        validator = process.restart(validator).await;
        since = now();
        if round % 20 == 0 {
            println!("{round} kills");
        }
    }
    // Whole epochs without a kill: these are submitted in any case.
    sleep(BLOCK * u32::try_from(3 * EPOCH).unwrap()).await;
    up.push((since, now()));
    validator.kill().await;
    let blocks = blocks(chain.address()).await;
    let records: Vec<EpochRecord> = State::read(process.data())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let submitted = check_submissions(&blocks, &validator_name, &records);
    check_evidence(&records);
    check_windows(&blocks, &up, &records, &submitted);
    drop(miners);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_is_killed_again_and_again_registers_once_and_advertises_what_it_serves() {
    let kills = kills(20);
    let mut random = Random::seeded("a miner");
    let subnet = Subnet::new();
    let name = subnet.key("miner");
    let chain = chain(&subnet).arg(format!("--fund={name}=10000")).start().await;
    let process = subnet
        .miner("miner", 1, 0)
        .arg("--register=once")
        .arg("--stake=100")
        .arg("--most-cost=1000");
    let mut miner = process.spawn();
    for _ in 0..kills {
        // Long before it is ready, around it, and long after.
        sleep(Duration::from_millis(random.below(1_500))).await;
        miner.kill().await;
        miner = process.spawn();
    }
    miner.ready().await;
    sleep(BLOCK * 40).await;
    let blocks = blocks(chain.address()).await;
    let of = |kind: &str| -> Vec<&Called> {
        blocks
            .iter()
            .flat_map(|block| &block.calls)
            .filter(|called| called.account == name && called.call["type"] == kind && called.done)
            .collect()
    };
    assert_eq!(of("register").len(), 1, "{:#?}", of("register"));
    let capabilities: Vec<&Value> = of("serve")
        .iter()
        .map(|called| &called.call["capabilities"])
        .collect();
    assert!(!capabilities.is_empty(), "it is listed: {}", miner.stderr());
    assert!(
        capabilities
            .iter()
            .all(|digest| *digest == capabilities[0] && digest.is_string()),
        "it serves one thing only: {capabilities:?}"
    );
}

/// Of each epoch: one operation, and weights that never change. Returns the epochs that the chain has weights for.
fn check_submissions(blocks: &[Block], validator: &str, records: &[EpochRecord]) -> BTreeSet<u64> {
    let mut submitted: BTreeMap<u64, Vec<&Called>> = BTreeMap::new();
    let calls = blocks.iter().flat_map(|block| &block.calls);
    for called in calls.filter(|called| called.done) {
        if let Some(epoch) = submits(called, validator) {
            submitted.entry(epoch).or_default().push(called);
        }
    }
    assert!(!submitted.is_empty(), "something was submitted");
    for (epoch, calls) in &submitted {
        let (operation, weights) = (&calls[0].call["operation"], &calls[0].call["weights"]);
        for called in calls {
            assert_eq!(
                &called.call["operation"], operation,
                "one operation in epoch {epoch}"
            );
            assert_eq!(&called.call["weights"], weights, "and one set of weights");
        }
        let record = records.iter().find(|record| record.epoch().0 == *epoch);
        let record = record.unwrap_or_else(|| panic!("epoch {epoch} was submitted, and is not stored"));
        let intent = record
            .intent
            .as_ref()
            .unwrap_or_else(|| panic!("epoch {epoch} was submitted without an intent"));
        assert_eq!(
            serde_json::to_value(&intent.weights).unwrap(),
            *weights,
            "what was intended is what was sent"
        );
    }
    for record in records.iter().filter(|record| record.stage == Stage::Submitted) {
        let epoch = record.epoch().0;
        assert!(
            submitted.contains_key(&epoch),
            "epoch {epoch} is stored as submitted, and the chain knows nothing of it"
        );
    }
    println!(
        "{} epochs submitted, of {} stored",
        submitted.len(),
        records.len()
    );
    submitted.into_keys().collect()
}

/// Whatever could be submitted was: of each epoch with something to say, in whose window the validator was up for half of
/// it at a stretch.
fn check_windows(blocks: &[Block], up: &[(u64, u64)], records: &[EpochRecord], submitted: &BTreeSet<u64>) {
    let time = |height: u64| {
        blocks
            .iter()
            .find(|block| block.height == height)
            .map(|block| block.time)
    };
    let mut open = 0;
    for record in records {
        let epoch = record.epoch().0;
        let (Some(from), Some(to)) = (
            time((epoch + 1) * EPOCH - WEIGHING),
            time((epoch + 1) * EPOCH - 1),
        ) else {
            continue;
        };
        let longest = up
            .iter()
            .map(|(since, until)| (*until).min(to).saturating_sub((*since).max(from)))
            .max();
        if longest.unwrap_or(0) * 2 < to - from || matches!(record.stage, Stage::NoOpinion(_)) {
            continue;
        }
        open += 1;
        assert!(
            submitted.contains(&epoch),
            "epoch {epoch} was not submitted, though the validator was up in its window: {:?}",
            record.stage
        );
    }
    println!("{open} windows in which the validator was up, all of them used");
    assert!(open >= 2, "some windows were open: {open}");
}

/// Evidence of one epoch is of its blocks alone, and gives the stored scores again, bit for bit.
fn check_evidence(records: &[EpochRecord]) {
    let mut before = None;
    for record in records {
        let evidence = &record.evidence;
        assert!(evidence.from <= evidence.to);
        if let Some((epoch, to)) = before {
            assert!(
                epoch < evidence.epoch && to <= evidence.from,
                "epoch {} is mixed with the one before",
                evidence.epoch
            );
        }
        before = Some((evidence.epoch, evidence.to));
        if let Some(opinion) = &record.opinion {
            let again = StandardPolicy::default().score(evidence);
            assert_eq!(
                serde_json::to_string(&again).unwrap(),
                serde_json::to_string(&opinion.scores).unwrap(),
                "the same evidence gives the same scores"
            );
        }
    }
    assert!(
        records.iter().any(|record| record.opinion.is_some()),
        "something was scored"
    );
}

fn submits(called: &Called, validator: &str) -> Option<u64> {
    (called.call["type"] == "submit_weights" && called.account == validator)
        .then(|| called.call["epoch"].as_u64())
        .flatten()
}

fn chain(subnet: &Subnet) -> Process {
    subnet
        .chain_with_blocks_of(BLOCK)
        .arg(format!("--epoch-blocks={EPOCH}"))
        .arg(format!("--weighing-blocks={WEIGHING}"))
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
