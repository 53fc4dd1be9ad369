//! Two validators of the same miners agree within the intervals that they state.

use synapse_core::CallerId;
use synapse_validator::{ScorePolicy, StandardPolicy, evidence::EpochEvidence, score::Estimate};

use crate::score_fleet::{Dice, True, nothing, observe};

/// How often two validators agreed, of all miners of all rounds.
#[derive(Default)]
struct Agreement {
    compared: u32,
    overlap: u32,
    contain: u32,
}

impl Agreement {
    fn add(&mut self, one: &EpochEvidence, other: &EpochEvidence) {
        let policy = StandardPolicy::default();
        let (one, other) = (policy.score(one), policy.score(other));
        for (a, b) in one.as_slice().iter().zip(other.as_slice()) {
            let (a, b) = (a.estimate.unwrap(), b.estimate.unwrap());
            let within = |a: Estimate, b: Estimate| b.low <= a.value && a.value <= b.high;
            self.compared += 1;
            self.overlap += u32::from(a.low <= b.high && b.low <= a.high);
            self.contain += u32::from(within(a, b) && within(b, a));
        }
    }

    fn report(&self, what: &str) {
        let rate = |count: u32| f64::from(count) / f64::from(self.compared);
        println!(
            "{what}: of {} pairs {:.2} % overlap, {:.2} % contain each other",
            self.compared,
            rate(self.overlap) * 100.0,
            rate(self.contain) * 100.0
        );
        assert!(rate(self.overlap) >= 0.99 && rate(self.contain) >= 0.95, "{what}");
    }
}

fn fleet(dice: &mut Dice) -> Vec<True> {
    let miners = dice.count(3, 12);
    (0..miners).map(|_| True::any(dice)).collect()
}

#[test]
fn with_different_probes_of_the_same_traffic() {
    let mut agreement = Agreement::default();
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let miners = fleet(&mut dice);
        let probes = dice.count(10, 60);
        let traffic = observe(&miners, 0, &[40 * miners.len() as u64; 12], &mut dice);
        let [one, other] = [0, 1].map(|_| {
            let mut evidence = traffic.clone();
            for (miner, seen) in miners.iter().zip(&mut evidence.miners) {
                miner.probed(probes, &mut dice, seen);
            }
            evidence
        });
        agreement.add(&one, &other);
    }
    agreement.report("the same traffic, probes of their own");
}

#[test]
fn with_a_random_half_of_the_traffic_each() {
    let mut agreement = Agreement::default();
    for seed in 0..300 {
        let mut dice = Dice(1_000 + seed);
        let miners = fleet(&mut dice);
        let (probes, callers) = (dice.count(10, 60), dice.count(1, 20));
        let mut halves = [nothing(miners.len()), nothing(miners.len())];
        for half in &mut halves {
            for (miner, seen) in miners.iter().zip(&mut half.miners) {
                miner.probed(probes, &mut dice, seen);
            }
        }
        for caller in 0..callers {
            let caller = format!("caller-{caller}");
            for _ in 0..dice.count(1, 60 * miners.len() as u64) {
                let at = usize::try_from(dice.count(0, miners.len() as u64 - 1)).unwrap();
                let half = usize::from(dice.part() < 0.5);
                miners[at].used(&caller, &mut dice, &mut halves[half].miners[at]);
            }
        }
        agreement.add(&halves[0], &halves[1]);
    }
    agreement.report("a random half of the traffic each");
}

#[test]
fn about_who_was_there_for_a_part_of_the_epoch() {
    // As many as fit, each from half an interval to one and a half after the one before.
    fn probes(intervals: f64, dice: &mut Dice) -> u64 {
        let (mut at, mut count) = (dice.part(), 0);
        while at < intervals {
            at += dice.between(0.5, 1.5);
            count += 1;
        }
        count
    }
    let mut agreement = Agreement::default();
    for seed in 0..300 {
        let mut dice = Dice(2_000 + seed);
        let miners = fleet(&mut dice);
        let intervals = dice.between(8.0, 100.0);
        let there: Vec<f64> = miners
            .iter()
            .map(|_| match dice.part() < 0.3 {
                true => dice.between(0.4, 1.0),
                false => 1.0,
            })
            .collect();
        let traffic = observe(&miners, 0, &[40 * miners.len() as u64; 12], &mut dice);
        let [one, other] = [0, 1].map(|_| {
            let mut evidence = traffic.clone();
            for ((miner, seen), part) in miners.iter().zip(&mut evidence.miners).zip(&there) {
                let probes = probes(intervals * part, &mut dice);
                miner.probed(probes.max(3), &mut dice, seen);
            }
            evidence
        });
        agreement.add(&one, &other);
    }
    agreement.report("the same traffic, of miners that come and go");
}

#[test]
fn of_the_same_evidence_bit_for_bit() {
    let mut dice = Dice(7);
    let miners = fleet(&mut dice);
    let mut evidence = observe(&miners, 30, &[100; 12], &mut dice);
    let score =
        |evidence: &EpochEvidence| serde_json::to_string(&StandardPolicy::default().score(evidence)).unwrap();
    let before = score(&evidence);
    // In whatever order it came in.
    let callers: Vec<CallerId> = evidence.miners[0].users.keys().cloned().collect();
    for caller in callers.into_iter().rev() {
        let tally = evidence.miners[0].users.remove(&caller).unwrap();
        evidence.miners[0].users.insert(caller, tally);
    }
    assert_eq!(score(&evidence), before);
}
