//! The standard policy, given what no honest log would hold.

use std::time::Instant;

use proptest::prelude::*;
use synapse_validator::{
    ScorePolicy, StandardPolicy,
    evidence::{ClaimTally, EpochEvidence, Tally},
    score::StandardSettings,
    weights,
};

use crate::score_fleet::{Dice, True, nothing, observe};

fn check(evidence: &EpochEvidence) {
    for floor in [0.0, 0.5, f64::NAN] {
        let settings = StandardSettings::default()
            .volume_floor(floor)
            .tolerance(f64::NAN)
            .least_observations(0);
        let scores = StandardPolicy::new(settings).score(evidence);
        scores.check(evidence).unwrap();
        assert_eq!(scores.as_slice().len(), evidence.miners.len());
        for score in scores.as_slice() {
            assert!(score.value() <= 1.0, "{score:?}");
            for reason in &score.reasons {
                assert!(reason.factor.is_none_or(|factor| (0.0..=1.0).contains(&factor)));
            }
        }
        match weights::emit(&scores) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.code(), "no_weight"),
        }
    }
}

fn tally(counts: [u64; 5], times: &[u64]) -> Tally {
    let mut tally = Tally::default();
    [tally.asked, tally.answered, tally.dropped, tally.output_tokens] =
        [counts[0], counts[1], counts[2], counts[3]];
    tally.contradicted = counts[2];
    tally.failed.insert("timeout".into(), counts[4]);
    tally.failed.insert("other".into(), counts[4]);
    for time in times {
        tally.first_content_us.add(*time);
        tally.speed_mtps.add(*time);
    }
    tally
}

#[test]
fn numbers_at_their_ends_overflow_nothing() {
    for counts in [
        [u64::MAX; 5],
        [0; 5],
        [0, u64::MAX, 0, 0, 0],
        [0, 0, 0, u64::MAX, u64::MAX],
    ] {
        for times in [&[][..], &[0], &[u64::MAX; 40], &[0, u64::MAX]] {
            let mut evidence = nothing(3);
            for miner in &mut evidence.miners {
                miner.probes = tally(counts, times);
                for caller in 0..15 {
                    let caller = format!("caller-{caller}");
                    miner.users.insert(caller.as_str().into(), tally(counts, times));
                }
                let mut claim = ClaimTally::default();
                (claim.kept, claim.broken) = (counts[0], counts[1]);
                miner.claims.insert("streaming".into(), claim);
            }
            check(&evidence);
        }
    }
    let mut doubled = tally([1; 5], &[7; 3]);
    for _ in 0..70 {
        let same = doubled.first_content_us.clone();
        doubled.first_content_us.merge(&same);
    }
    assert_eq!(doubled.first_content_us.count(), u64::MAX);
    let mut evidence = nothing(1);
    evidence.miners[0].probes = doubled;
    check(&evidence);
}

#[test]
fn counts_that_contradict_each_other_are_scored_all_the_same() {
    let mut evidence = observe(&vec![True::good(); 4], 20, &[40; 12], &mut Dice(1));
    let miner = &mut evidence.miners[0];
    (miner.probes.asked, miner.probes.answered) = (1, 500);
    miner.users.values_mut().for_each(|tally| tally.asked = 0);
    evidence.miners[1].measures.insert("truth".into(), f64::NAN);
    check(&evidence);
}

#[test]
fn miners_in_any_order_and_twice_do_no_harm() {
    let mut evidence = observe(&vec![True::good(); 4], 20, &[40; 12], &mut Dice(1));
    evidence.miners.reverse();
    let scores = StandardPolicy::default().score(&evidence);
    assert_eq!(scores.as_slice().len(), 4);
    let twice = evidence.miners[0].clone();
    evidence.miners.push(twice);
    let scores = StandardPolicy::default().score(&evidence);
    assert_eq!(scores.check(&evidence).unwrap_err().code(), "bad_scores");
}

#[test]
fn ten_thousand_miners_are_scored() {
    let mut evidence = nothing(10_000);
    let seen = observe(&vec![True::good(); 10], 20, &[100; 12], &mut Dice(1));
    for (number, miner) in evidence.miners.iter_mut().enumerate() {
        let like = seen.miners[number % 10].clone();
        (miner.probes, miner.users) = (like.probes, like.users);
    }
    let started = Instant::now();
    let scores = StandardPolicy::default().score(&evidence);
    let took = started.elapsed();
    scores.check(&evidence).unwrap();
    assert_eq!(weights::emit(&scores).unwrap().as_slice().len(), 10_000);
    println!("10,000 miners with 12 callers each: {took:?}");
}

fn any_tally() -> impl Strategy<Value = Tally> {
    let count = prop_oneof![0_u64..50, any::<u64>()];
    let times = prop::collection::vec(any::<u64>(), 0..12);
    (prop::array::uniform5(count), times).prop_map(|(counts, times)| tally(counts, &times))
}

proptest! {
    #[test]
    fn whatever_was_counted_scores_are_scores(
        miners in prop::collection::vec((any_tally(), prop::collection::vec(any_tally(), 0..14)), 0..8),
    ) {
        let mut evidence = nothing(miners.len());
        for (miner, (probes, users)) in evidence.miners.iter_mut().zip(miners) {
            miner.probes = probes;
            miner.users = users
                .into_iter()
                .enumerate()
                .map(|(caller, tally)| (format!("caller-{caller}").into(), tally))
                .collect();
        }
        check(&evidence);
    }
}
