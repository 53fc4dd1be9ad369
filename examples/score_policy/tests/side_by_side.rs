//! The program, over epochs as a validator stores them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use synapse_core::{BlockNumber, EpochId, Member, NodeId, Role, SubnetId};
use synapse_validator::{
    backtest::Comparison,
    evidence::{EpochEvidence, MinerEvidence},
    state::{EpochRecord, Stage},
};

fn miner(name: &str, first_content_ms: u64, answered: u64) -> MinerEvidence {
    let mut miner = MinerEvidence::of(&Member::new(name, Role::Miner), None);
    (miner.probes.asked, miner.probes.answered) = (20, answered);
    miner.probes.failed.insert("timeout".into(), 20 - answered);
    for _ in 0..answered {
        miner.probes.first_content_us.add(first_content_ms * 1000);
    }
    miner
}

fn store(dir: &Path, number: u64, stage: Stage) {
    let validator = NodeId::from("validator");
    let mut evidence = EpochEvidence::new(SubnetId(7), validator, EpochId(number), BlockNumber(1));
    evidence.miners = vec![
        miner("quick", 200, 15),
        miner("slow", 1600, 19),
        miner("steady", 600, 20),
    ];
    let mut record = EpochRecord::open(evidence);
    record.stage = stage;
    fs::create_dir_all(dir.join("epochs")).unwrap();
    let file = dir.join(format!("epochs/{number:010}.json"));
    fs::write(file, serde_json::to_vec(&record).unwrap()).unwrap();
}

fn run(dir: &Path, more: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_score_policy");
    Command::new(program).arg(dir).args(more).output().unwrap()
}

#[test]
fn both_policies_are_printed_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path(), 1, Stage::Submitted);
    store(dir.path(), 2, Stage::Closed);
    store(dir.path(), 3, Stage::Open);
    let text = run(dir.path(), &[]);
    let table = String::from_utf8(text.stdout).unwrap();
    for words in [
        "standard 1",
        "quickest 1",
        "epoch 2\n",
        "all 2 epochs\n",
        "quick: first content after 5",
    ] {
        assert!(table.contains(words), "{words} is missing\n{table}");
    }
    println!("{table}");
    let json = run(dir.path(), &["--json"]).stdout;
    let comparison: Comparison = serde_json::from_slice(&json).unwrap();
    assert_eq!(comparison.epochs.len(), 2);
    let quick = &comparison.totals[0];
    assert!(quick.share[1] > quick.share[0], "{quick:?}");
}

#[test]
fn a_folder_without_epochs_is_an_error_that_says_what_to_name() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &[]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("no closed epoch is stored in") && said.contains("state.json"),
        "{said}"
    );
}
