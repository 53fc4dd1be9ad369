//! Buying one's own traffic never pays.

use synapse_core::CallerId;
use synapse_validator::{
    StandardPolicy,
    evidence::{EpochEvidence, Tally},
};

use crate::score_fleet::{Dice, True, factor, observe, score, share};

/// The miner who buys.
const BUYER: usize = 0;
const ROUNDS: u64 = 400;

fn honest(dice: &mut Dice) -> EpochEvidence {
    let miners = dice.count(4, 20);
    let mut fleet: Vec<True> = (0..miners).map(|_| True::any(dice)).collect();
    // Who has something to cover up.
    fleet[BUYER].answers_users = dice.between(0.3, 1.0) * fleet[BUYER].answers_probes;
    let callers: Vec<u64> = (0..dice.count(1, 40))
        .map(|_| dice.count(1, 6 * miners) * dice.count(1, 6))
        .collect();
    observe(&fleet, dice.count(10, 40), &callers, dice)
}

/// Any amount of traffic that is answered at once.
fn bought(dice: &mut Dice) -> Tally {
    let requests = 10_u64.pow(u32::try_from(dice.count(0, 9)).unwrap()) * dice.count(1, 9);
    let mut tally = Tally::default();
    (tally.asked, tally.answered) = (requests, requests);
    tally.output_tokens = requests.saturating_mul(dice.count(1, 100_000));
    // As many as there are requests, without adding each.
    let mut first = Tally::default().first_content_us;
    first.add(dice.count(1, 1000));
    let mut many = first.clone();
    while many.count() < requests {
        let same = many.clone();
        many.merge(&same);
    }
    tally.first_content_us = many.clone();
    tally.speed_mtps = Tally::default().speed_mtps;
    tally.speed_mtps.add(1_000_000_000);
    while tally.speed_mtps.count() < requests {
        let same = tally.speed_mtps.clone();
        tally.speed_mtps.merge(&same);
    }
    tally
}

fn voices(evidence: &EpochEvidence) -> usize {
    evidence.miners[BUYER].users.len()
}

#[test]
fn one_caller_gains_no_more_than_his_voice_even_if_all_of_it_reaches_his_own_miner() {
    let policy = StandardPolicy::default();
    let (mut most, mut sum, mut rounds) = (0.0_f64, 0.0, 0.0);
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let before = honest(&mut dice);
        let mut after = before.clone();
        after.miners[BUYER]
            .users
            .insert("buyer".into(), bought(&mut dice));
        let (was, is) = (score(&policy, &before, BUYER), score(&policy, &after, BUYER));
        let voice = (1.0 / 11.0_f64).max(1.0 / (voices(&before) as f64 + 1.0));
        let gained = |code: &str| factor(&is, code) - factor(&was, code);
        assert!(
            gained("availability") <= voice + 1e-9,
            "seed {seed}: {was:?} {is:?}"
        );
        assert!(gained("volume") <= 0.05 + 0.02, "seed {seed}: {was:?} {is:?}");
        let gain = share(&policy, &after, BUYER) - share(&policy, &before, BUYER);
        if voices(&before) >= 10 {
            (most, sum, rounds) = (most.max(gain), sum + gain, rounds + 1.0);
            assert!(gain <= 0.04, "seed {seed}: gained {gain}\n{was:?}\n{is:?}");
        }
    }
    println!(
        "one caller beside ten and more, all to his own miner: gains {:.2} points of 100 on average, {:.2} at most",
        sum / rounds * 100.0,
        most * 100.0
    );
}

#[test]
fn what_a_balancer_spreads_gains_nothing() {
    let policy = StandardPolicy::default();
    let (mut most, mut sum) = (f64::MIN, 0.0);
    for seed in 0..ROUNDS {
        let mut dice = Dice(10_000 + seed);
        let before = honest(&mut dice);
        let mut after = before.clone();
        let times = dice.count(1, 1000);
        for miner in &mut after.miners {
            // As the miner answers everybody, so often.
            let mut own = Tally::default();
            for tally in miner.users.values() {
                (own.asked, own.answered) = (own.asked + tally.asked, own.answered + tally.answered);
                own.output_tokens += tally.output_tokens;
                own.first_content_us.merge(&tally.first_content_us);
                own.speed_mtps.merge(&tally.speed_mtps);
                for (code, count) in &tally.failed {
                    *own.failed.entry(code.clone()).or_default() += count;
                }
            }
            (own.asked, own.answered) = (own.asked * times, own.answered * times);
            own.output_tokens *= times;
            own.failed.values_mut().for_each(|count| *count *= times);
            miner.users.insert("buyer".into(), own);
        }
        let gain = share(&policy, &after, BUYER) - share(&policy, &before, BUYER);
        (most, sum) = (most.max(gain), sum + gain);
    }
    let mean = sum / ROUNDS as f64;
    println!(
        "one caller, spread by a balancer: gains {:.3} points of 100 on average, {:.2} at most",
        mean * 100.0,
        most * 100.0
    );
    assert!(mean.abs() <= 0.001 && most <= 0.015, "{mean} {most}");
}

#[test]
fn with_any_number_of_keys_nobody_is_better_than_probes_have_shown() {
    let policy = StandardPolicy::default();
    for seed in 0..100 {
        let mut dice = Dice(20_000 + seed);
        let before = honest(&mut dice);
        let mut after = before.clone();
        let (others, keys) = (voices(&before) as f64, dice.count(1, 60));
        for key in 0..keys {
            let key = CallerId::from(format!("key-{key}"));
            after.miners[BUYER].users.insert(key, bought(&mut dice));
        }
        let mut probes_only = before.clone();
        probes_only
            .miners
            .iter_mut()
            .for_each(|miner| miner.users.clear());
        let ceiling = score(&policy, &probes_only, BUYER);
        let (was, is) = (score(&policy, &before, BUYER), score(&policy, &after, BUYER));
        let keys = keys as f64;
        let say = (keys / 11.0).max(keys / (others + keys));
        assert!(
            factor(&is, "availability") - factor(&was, "availability") <= say + 1e-9,
            "seed {seed}"
        );
        for code in ["availability", "first_content", "speed"] {
            assert!(factor(&is, code) <= factor(&ceiling, code) + 1e-12, "seed {seed}");
        }
    }
}

#[test]
fn volume_beyond_the_median_is_worth_nothing() {
    let policy = StandardPolicy::default();
    let mut evidence = observe(&vec![True::good(); 6], 40, &[60; 12], &mut Dice(5));
    for tally in evidence.miners[BUYER].users.values_mut() {
        tally.output_tokens *= 2;
    }
    let before = score(&policy, &evidence, BUYER);
    assert!((factor(&before, "volume") - 1.0).abs() < 1e-12);
    for number in 0..30 {
        let key = CallerId::from(format!("key-{number}"));
        evidence.miners[BUYER]
            .users
            .insert(key, bought(&mut Dice(number)));
    }
    assert!((factor(&score(&policy, &evidence, BUYER), "volume") - 1.0).abs() < 1e-12);
}
