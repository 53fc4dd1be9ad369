//! Policies side by side, over the same epochs.

use synapse_core::EpochId;
use synapse_validator::{
    ScorePolicy, StandardPolicy,
    backtest::{Backtest, Comparison},
    evidence::EpochEvidence,
    score::{Estimate, Reason, Score, Scores, StandardSettings},
};

use crate::score_fleet::{Dice, True, name, nothing, observe};

/// All alike, or what it is told.
struct Own(fn(&EpochEvidence) -> Scores);

impl ScorePolicy for Own {
    fn name(&self) -> &str {
        "own"
    }

    fn version(&self) -> u32 {
        3
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        (self.0)(evidence)
    }
}

fn alike(evidence: &EpochEvidence) -> Scores {
    Scores::new(evidence.miners.iter().map(|miner| {
        let reason = Reason::new("alike", "all are worth the same");
        Score::new(miner.miner.clone(), Estimate::exact(1.0), vec![reason])
    }))
}

fn epochs() -> Vec<EpochEvidence> {
    let epoch = |number: u64| {
        let mut miners = vec![True::good(); 3];
        miners[2].answers_probes = 0.5;
        let mut evidence = observe(&miners, 50, &[60; 12], &mut Dice(number));
        evidence.epoch = EpochId(number);
        evidence
    };
    vec![epoch(1), epoch(2)]
}

fn compared(policy: impl ScorePolicy, epochs: Vec<EpochEvidence>) -> Comparison {
    Backtest::new(epochs)
        .policy(StandardPolicy::default())
        .policy(policy)
        .run()
}

#[test]
fn two_policies_stand_side_by_side() {
    let comparison = compared(Own(alike), epochs());
    assert_eq!(comparison.epochs.len(), 2);
    let first = &comparison.epochs[0].miners[2];
    assert_eq!(first.miner, name(2));
    let [standard, own] = &first.by_policy[..] else {
        panic!("{first:?}")
    };
    assert_eq!(standard.reason.as_ref().unwrap().code, "availability");
    assert!((own.share - 1.0 / 3.0).abs() < 1e-12);
    assert!((own.difference - (own.share - standard.share)).abs() < 1e-12);
    assert!(own.difference > 0.05 && standard.difference == 0.0);
    let total = &comparison.totals[2];
    assert_eq!(total.epochs, 2);
    assert!(total.difference[1] > 0.05, "{total:?}");
    for policy in 0..2 {
        let all: f64 = comparison.totals.iter().map(|total| total.share[policy]).sum();
        assert!((all - 1.0).abs() < 1e-9);
    }
}

#[test]
fn as_text_it_is_a_table_and_as_json_the_same_again() {
    let comparison = compared(Own(alike), epochs());
    let table = comparison.to_string();
    for words in [
        "epoch 1\n",
        "epoch 2\n",
        "all 2 epochs\n",
        "standard 1",
        "own 3",
        "Δ own 3",
        "alike: all are worth the same",
        "1.000  33.33 %",
    ] {
        assert!(table.contains(words), "{words} is missing\n{table}");
    }
    println!("{table}");
    let json = serde_json::to_string(&comparison).unwrap();
    let again: Comparison = serde_json::from_str(&json).unwrap();
    assert_eq!(again, comparison);
}

#[test]
fn a_policy_that_fails_has_no_opinion_and_the_table_says_why() {
    let check = |policy: fn(&EpochEvidence) -> Scores, words: &str| {
        let comparison = compared(Own(policy), epochs());
        let epoch = &comparison.epochs[0];
        assert_eq!(epoch.faults[0], None);
        let fault = epoch.faults[1].as_deref().unwrap();
        assert!(fault.contains(words), "{fault}");
        assert!(epoch.miners[0].by_policy[0].share > 0.0);
        assert_eq!(epoch.miners[0].by_policy[1].score, None);
        assert!(comparison.to_string().contains("own 3 has no scores: "));
    };
    check(|_| panic!("out of ideas"), "panicked");
    check(
        |evidence| {
            let wrong = Estimate::exact(f64::NAN);
            Scores::new([Score::new(evidence.miners[0].miner.clone(), wrong, Vec::new())])
        },
        "is not finite",
    );
}

#[test]
fn an_epoch_without_evidence_has_no_shares_and_does_not_count() {
    let mut epochs = epochs();
    epochs.push(nothing(3));
    let settings = StandardSettings::default().volume_floor(1.0);
    let comparison = compared(StandardPolicy::new(settings), epochs);
    assert!(comparison.epochs[2].miners[0].by_policy[0].score.is_none());
    let all: f64 = comparison.totals.iter().map(|total| total.share[0]).sum();
    assert!((all - 1.0).abs() < 1e-9);
    assert!(comparison.to_string().contains("standard 1 #2"));
    let none = compared(Own(alike), Vec::new());
    assert!(none.totals.is_empty() && none.to_string().contains("all 0 epochs"));
}
