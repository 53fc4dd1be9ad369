//! What the log keeps of what it is told, and what it leaves out.

use std::{thread, time::Duration};

use synapse_core::{
    BlockNumber, EpochId, Error, ErrorKind, Input, Member, Message, NodeId, Role, Stake, SubnetId,
    probe::{Answer, Claim, Finding, Probe, ask},
    testkit::Echo,
};
use synapse_validator::{
    EvidenceLog,
    evidence::{Distribution, EpochEvidence, MinerEvidence, Tally},
    pool::{Outcome, Sighting, Witness},
};

fn node(name: &str) -> NodeId {
    NodeId::from(name)
}

fn epoch(number: u64) -> EpochEvidence {
    EpochEvidence::new(SubnetId(7), node("validator"), EpochId(number), BlockNumber(100))
}

fn open(members: &[&str]) -> EvidenceLog {
    let log = EvidenceLog::new();
    log.open(epoch(1));
    for member in members {
        log.member(&Member::new(*member, Role::Miner), None);
    }
    log
}

fn sighting(miner: &str, caller: &str, outcome: Outcome) -> Sighting {
    let mut sighting = Sighting::new(node(miner), outcome);
    sighting.caller = Some(caller.into());
    sighting.first_content = Some(Duration::from_millis(250));
    sighting.total = Duration::from_millis(1250);
    sighting.text_bytes = 200;
    sighting
}

fn seen(log: &EvidenceLog, miner: &str) -> MinerEvidence {
    let evidence = log.snapshot().unwrap();
    evidence.miner(&node(miner)).unwrap().clone()
}

async fn answer(error: Option<Error>) -> Answer {
    let input = Input::chat("echo", [Message::user("one two three")]);
    let mut answer = ask(&Echo::new(), input, Duration::from_secs(1)).await;
    answer.error = error;
    answer
}

#[test]
fn requests_are_counted_by_how_they_went() {
    let log = open(&["a"]);
    for outcome in [
        Outcome::Answered,
        Outcome::Answered,
        Outcome::Failed("timeout".into()),
        Outcome::Refused("bad_model".into()),
        Outcome::Dropped,
    ] {
        log.saw(&sighting("a", "alice", outcome));
    }
    let a = seen(&log, "a");
    let alice = &a.users[&"alice".into()];
    assert_eq!((alice.asked, alice.answered, alice.dropped), (5, 2, 1));
    assert_eq!((alice.failures(), alice.failed["timeout"]), (1, 1));
    assert_eq!(alice.output_tokens, 100);
    let quarter = alice.first_content_us.quantile(500).unwrap();
    assert!((242_188..=250_000).contains(&quarter), "{quarter}");
    let speed = alice.speed_mtps.quantile(500).unwrap();
    assert!((48_438..=50_000).contains(&speed), "{speed}");
    assert_eq!(alice.speed_mtps.count(), 2);
    assert_eq!(a.probes, Tally::default());
}

#[test]
fn text_that_comes_at_once_or_is_short_says_nothing_about_speed() {
    let log = open(&["a"]);
    let mut short = sighting("a", "alice", Outcome::Answered);
    short.text_bytes = 28;
    log.saw(&short);
    let mut at_once = sighting("a", "alice", Outcome::Answered);
    at_once.total = at_once.first_content.unwrap();
    log.saw(&at_once);
    let a = seen(&log, "a");
    assert_eq!(a.users[&"alice".into()].speed_mtps.count(), 0);
    assert_eq!(a.users[&"alice".into()].first_content_us.count(), 2);
}

#[tokio::test]
async fn probes_are_counted_apart_with_what_they_found() {
    let log = open(&["a"]);
    let (claim, false_claim) = (Claim::Streaming, Claim::Model("big".into()));
    log.probed(
        &node("a"),
        None,
        &answer(None).await,
        &[
            Finding::kept(claim.clone()),
            Finding::broken(false_claim, "it is not there"),
        ],
    );
    let failed = Error::new(ErrorKind::Timeout, "probe_timeout", "too late");
    log.probed(
        &node("a"),
        None,
        &answer(Some(failed)).await,
        &[Finding::kept(claim)],
    );
    let refused = Error::invalid("wrong", "this was wrong, as it should be");
    let wrong = Probe::new(
        "errors",
        Input::chat("none", [Message::user("hello")]),
        Duration::from_secs(1),
    )
    .about(Claim::Errors);
    log.probed(
        &node("a"),
        Some(&wrong),
        &answer(Some(refused.clone())).await,
        &[],
    );
    let a = seen(&log, "a");
    assert_eq!(
        (a.probes.asked, a.probes.answered, a.probes.failures()),
        (3, 1, 1)
    );
    assert_eq!(a.probes.failed["probe_timeout"], 1);
    assert_eq!(a.claims["streaming"].kept, 2);
    assert_eq!(a.claims["the model big"].why.as_deref(), Some("it is not there"));
    assert!(a.users.is_empty());

    // Whoever refuses what is right blames the validator in vain.
    let right = Probe::new(
        "chat",
        Input::chat("m", [Message::user("hello")]),
        Duration::from_secs(1),
    );
    log.probed(&node("a"), Some(&right), &answer(Some(refused)).await, &[]);
    assert_eq!(seen(&log, "a").probes.failed["wrong"], 1);
}

#[test]
fn what_was_asked_of_one_member_alone_is_left_to_who_asked() {
    let log = open(&["a"]);
    let mut probe = sighting("a", "validator", Outcome::Answered);
    probe.only = true;
    log.saw(&probe);
    assert_eq!(seen(&log, "a").users.len(), 0);
}

#[test]
fn nothing_is_kept_of_strangers_or_before_an_epoch_is_open() {
    let log = EvidenceLog::new();
    log.saw(&sighting("a", "alice", Outcome::Answered));
    log.member(&Member::new("a", Role::Miner), None);
    log.seen(BlockNumber(5));
    assert_eq!((log.snapshot(), log.epoch()), (None, None));
    let log = open(&["a"]);
    log.saw(&sighting("b", "alice", Outcome::Answered));
    log.measured(&node("b"), "truth", 0.5);
    let evidence = log.snapshot().unwrap();
    assert_eq!(evidence.miners.len(), 1);
    assert_eq!(evidence.miners[0], MinerEvidence::new(node("a")));
}

#[test]
fn whoever_makes_up_names_fills_no_memory() {
    let log = open(&["a"]);
    for number in 0..1000 {
        let mut request = sighting("a", &format!("caller-{number}"), Outcome::Answered);
        log.saw(&request);
        request.caller = Some("alice".repeat(1000).into());
        request.outcome = Outcome::Failed(format!("{}-{number}", "code".repeat(100)));
        log.saw(&request);
        request.caller = Some("caller-0".into());
        request.outcome = Outcome::Failed(format!("code-{number}"));
        log.saw(&request);
        log.measured(&node("a"), &format!("measure-{number}"), 1.0);
    }
    let a = seen(&log, "a");
    assert_eq!(a.users.len(), MinerEvidence::MOST_CALLERS + 1);
    let others = &a.users[&MinerEvidence::OTHERS.into()];
    assert_eq!(others.asked, 1000 + 1000 - 64);
    assert_eq!(others.failed["other"], 1000);
    let first = &a.users[&"caller-0".into()];
    assert_eq!((first.failed.len(), first.failures()), (17, 1000));
    assert_eq!(a.measures.len(), 64);
}

#[test]
fn callers_whom_nobody_knows_are_one() {
    let log = open(&["a"]);
    let mut nobody = sighting("a", "", Outcome::Answered);
    nobody.caller = None;
    log.saw(&nobody);
    log.saw(&nobody);
    assert_eq!(seen(&log, "a").users[&MinerEvidence::OTHERS.into()].answered, 2);
}

#[test]
fn an_epoch_ends_as_the_next_one_opens() {
    let log = open(&["a"]);
    let same = log.clone();
    same.saw(&sighting("a", "alice", Outcome::Answered));
    log.seen(BlockNumber(120));
    log.seen(BlockNumber(110));
    let mut next = epoch(2);
    next.miners
        .push(MinerEvidence::of(&Member::new("b", Role::Miner), None));
    let closed = same.open(next).unwrap();
    assert_eq!((closed.epoch, closed.to), (EpochId(1), BlockNumber(120)));
    assert_eq!(closed.miners[0].users[&"alice".into()].answered, 1);
    log.saw(&sighting("b", "alice", Outcome::Dropped));
    assert_eq!(log.epoch(), Some((SubnetId(7), EpochId(2))));
    assert_eq!(seen(&log, "b").users[&"alice".into()].dropped, 1);
}

#[test]
fn what_was_stored_before_a_restart_goes_on() {
    let log = open(&["a"]);
    log.saw(&sighting("a", "alice", Outcome::Answered));
    let stored = log.snapshot().unwrap();
    let restarted = EvidenceLog::new();
    assert_eq!(restarted.open(stored), None);
    let owned = Member::new("a", Role::Miner)
        .with_owner(node("owner"))
        .with_stake(Stake(5));
    restarted.member(&owned, Some("it is on the list".into()));
    restarted.saw(&sighting("a", "alice", Outcome::Answered));
    let a = seen(&restarted, "a");
    assert_eq!(a.users[&"alice".into()].answered, 2);
    assert_eq!((a.owner, a.stake), (node("owner"), Stake(5)));
    assert_eq!(a.refused.as_deref(), Some("it is on the list"));
}

#[test]
fn a_measure_that_is_no_number_is_left_out() {
    let log = open(&["a"]);
    log.measured(&node("a"), "truth", 0.25);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        log.measured(&node("a"), "truth", value);
        log.measured(&node("a"), "other", value);
    }
    let a = seen(&log, "a");
    assert_eq!(a.measures.len(), 1);
    assert_eq!(a.measures["truth"].to_bits(), 0.25_f64.to_bits());
}

#[test]
fn nothing_is_lost_while_snapshots_are_taken() {
    let log = open(&["a", "b"]);
    thread::scope(|scope| {
        for miner in ["a", "b", "a", "b"] {
            let log = &log;
            scope.spawn(move || {
                for _ in 0..5_000 {
                    log.saw(&sighting(miner, "alice", Outcome::Answered));
                }
            });
        }
        for _ in 0..200 {
            assert!(log.snapshot().is_some());
        }
    });
    for miner in ["a", "b"] {
        assert_eq!(seen(&log, miner).users[&"alice".into()].answered, 10_000);
    }
}

#[test]
fn a_distribution_knows_its_values_to_a_32nd_whatever_their_order() {
    let values: Vec<u64> = (0..64)
        .flat_map(|shift| {
            [1, 3, 7, 1023]
                .map(|value: u64| value.wrapping_shl(shift))
                .into_iter()
        })
        .chain([0, u64::MAX, u64::MAX - 1])
        .collect();
    let (mut forth, mut back, mut merged) = <(Distribution, Distribution, Distribution)>::default();
    for (one, other) in values.iter().zip(values.iter().rev()) {
        forth.add(*one);
        back.add(*other);
        let mut alone = Distribution::default();
        alone.add(*one);
        let known = alone.quantile(500).unwrap();
        assert!(
            known <= *one && one - known <= one / 32,
            "{one} is known as {known}"
        );
        merged.merge(&alone);
    }
    assert_eq!(forth, back);
    assert_eq!(forth, merged);
    assert_eq!(forth.count(), values.len() as u64);
    assert_eq!(forth.quantile(0), Some(0));
    let last = forth.quantile(1000).unwrap();
    assert_eq!(forth.quantile(u32::MAX), Some(last));
    assert!(u64::MAX - last <= u64::MAX / 32);
    assert_eq!(Distribution::default().quantile(500), None);
}
