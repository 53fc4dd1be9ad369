//! What the log keeps of what it is told, and what it leaves out.

use std::{thread, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Chunk, Delta, EpochId, Error, ErrorKind, FinishReason, Input, Member, Message, NodeId,
    Output, Role, Stake, SubnetId,
    probe::{Answer, Claim, Finding, Probe, ask},
    testkit::{Echo, Scripted},
};
use synapse_validator::{
    EvidenceLog,
    evidence::{EpochEvidence, MinerEvidence, Tally},
    pool::{Outcome, Sighting, Witness},
};
use tokio::time::sleep;

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
    sighting.waited = Duration::from_secs(1);
    (sighting.chunks, sighting.text_bytes) = (10, 200);
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
        Outcome::Contradicted("bad_model".into()),
        Outcome::Dropped,
    ] {
        log.saw(&sighting("a", "alice", outcome));
    }
    let a = seen(&log, "a");
    let alice = &a.users[&"alice".into()];
    assert_eq!((alice.asked, alice.answered, alice.dropped), (6, 2, 1));
    assert_eq!((alice.failures(), alice.failed["timeout"]), (1, 1));
    assert_eq!((alice.contradicted, alice.decided()), (1, 3));
    assert_eq!(alice.output_tokens, 100);
    let quarter = alice.first_content_us.quantile(500).unwrap();
    assert!((242_188..=250_000).contains(&quarter), "{quarter}");
    let speed = alice.speed_mtps.quantile(500).unwrap();
    assert!((48_438..=50_000).contains(&speed), "{speed}");
    // What failed or was dropped within its reply counts as far as it came.
    assert_eq!((alice.first_content_us.count(), alice.speed_mtps.count()), (4, 4));
    assert_eq!(a.probes, Tally::default());
}

/// The speeds, in thousandths of a token a second, that a request of these times and this text leaves.
fn speeds(outcome: Outcome, change: impl FnOnce(&mut Sighting)) -> Option<u64> {
    let log = open(&["a"]);
    let mut request = sighting("a", "alice", outcome);
    change(&mut request);
    log.saw(&request);
    seen(&log, "a").users[&"alice".into()].speed_mtps.quantile(500)
}

#[test]
fn text_that_comes_at_once_is_as_fast_as_the_whole_of_it() {
    // 50 tokens after a quarter of a second.
    let at_once = speeds(Outcome::Answered, |request| {
        request.total = request.first_content.unwrap();
        request.waited = Duration::ZERO;
    });
    assert!(
        at_once.is_some_and(|speed| (193_750..=200_000).contains(&speed)),
        "{at_once:?}"
    );
    let one_piece = speeds(Outcome::Answered, |request| request.chunks = 1);
    assert!(
        one_piece.is_some_and(|speed| (38_750..=40_000).contains(&speed)),
        "{one_piece:?}"
    );
    assert_eq!(speeds(Outcome::Answered, |request| request.text_bytes = 28), None);
}

#[tokio::test(start_paused = true)]
async fn a_users_reply_and_a_probes_have_one_rule_of_speed() {
    for pieces in [1, 2, 5] {
        let module = Scripted::new(move |_| async move {
            let deltas = (0..pieces).map(|_| "sixteen bytes ok".repeat(4));
            let chunks = stream::iter(deltas).then(|text| async {
                sleep(Duration::from_millis(400)).await;
                Ok(Chunk::delta(Delta::text(text)))
            });
            let end = Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last());
            Ok(Output::new(Body::new(Box::pin(
                chunks.chain(stream::iter([end])),
            ))))
        });
        let input = Input::chat("scripted", [Message::user("hello")]);
        let answer = ask(&module, input, Duration::from_secs(60)).await;
        let log = open(&["a"]);
        log.probed(&node("a"), None, &answer, &[]);
        let mut user = sighting("a", "alice", Outcome::Answered);
        (user.first_content, user.total) = (answer.first_content, answer.total);
        user.waited = answer.total - answer.first_content.unwrap();
        (user.text_bytes, user.chunks) = (answer.text_bytes, answer.chunks);
        log.saw(&user);
        let a = seen(&log, "a");
        assert_eq!(a.probes.speed_mtps, a.users[&"alice".into()].speed_mtps);
        let (told, kept) = (
            answer.tokens_per_second().unwrap(),
            a.probes.speed_mtps.quantile(500).unwrap(),
        );
        let kept = kept as f64 / 1000.0;
        assert!(kept <= told && kept >= told * 31.0 / 32.0, "{told} {kept}");
    }
}

#[test]
fn what_a_client_takes_to_read_is_no_time_of_the_miners() {
    // It read for nine seconds what was waited for in one.
    let slow = |outcome| speeds(outcome, |request| request.total += Duration::from_secs(8));
    assert_eq!((slow(Outcome::Answered), slow(Outcome::Dropped)), (None, None));
    let a_little = speeds(Outcome::Answered, |request| {
        request.total += Duration::from_millis(500);
    });
    assert!(
        a_little.is_some_and(|speed| (48_438..=50_000).contains(&speed)),
        "{a_little:?}"
    );
}

#[test]
fn whoever_stalls_until_his_client_leaves_has_the_time_that_was_waited() {
    let firsts = |outcome: Outcome, waited: u64| {
        let log = open(&["a"]);
        let mut request = sighting("a", "alice", outcome);
        (request.first_content, request.waited) = (None, Duration::ZERO);
        (request.total, request.chunks, request.text_bytes) = (Duration::from_secs(waited), 0, 0);
        log.saw(&request);
        seen(&log, "a").users[&"alice".into()]
            .first_content_us
            .quantile(500)
    };
    for outcome in [Outcome::Dropped, Outcome::Failed("timeout".into())] {
        assert_eq!(firsts(outcome.clone(), 9), None);
        let long = firsts(outcome, 20).unwrap();
        assert!((19_375_000..=20_000_000).contains(&long), "{long}");
    }
    assert_eq!(firsts(Outcome::Refused("wrong".into()), 20), None);
    // After one word nothing more.
    let stalled = |seconds: u64| {
        speeds(Outcome::Dropped, |request| {
            (request.chunks, request.text_bytes) = (1, 4);
            request.waited = Duration::from_secs(seconds);
            request.total = request.first_content.unwrap() + request.waited;
        })
    };
    assert_eq!((stalled(9), stalled(20)), (None, Some(50)));
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
    assert_eq!(a.claims["model big"].why.as_deref(), Some("it is not there"));
    assert!(a.users.is_empty());

    // Whoever refuses what is right blames the validator in vain.
    let right = Probe::new(
        "chat",
        Input::chat("m", [Message::user("hello")]),
        Duration::from_secs(1),
    );
    assert_eq!(seen(&log, "a").probes.contradicted, 0);
    log.probed(&node("a"), Some(&right), &answer(Some(refused)).await, &[]);
    let probes = seen(&log, "a").probes;
    assert_eq!((probes.failed["wrong"], probes.contradicted), (1, 1));
}

#[tokio::test]
async fn another_number_is_no_other_claim() {
    let log = open(&["a"]);
    for tokens in 0..200 {
        let claim = Claim::Context("m".into(), tokens);
        let why = format!("{tokens} tokens are claimed");
        log.probed(
            &node("a"),
            None,
            &answer(None).await,
            &[Finding::broken(claim, why)],
        );
    }
    for model in 0..100 {
        let claim = Claim::Model(format!("m{model}"));
        log.probed(&node("a"), None, &answer(None).await, &[Finding::kept(claim)]);
    }
    let claims = seen(&log, "a").claims;
    assert_eq!(claims["context m"].broken, 200);
    assert_eq!(claims["context m"].why.as_deref(), Some("199 tokens are claimed"));
    assert_eq!((claims.len(), claims["model other"].kept), (65, 100 - 63));
}

#[test]
fn a_caller_who_is_called_as_all_the_others_is_counted_apart() {
    let log = open(&["a"]);
    log.saw(&sighting("a", MinerEvidence::OTHERS, Outcome::Answered));
    let mut nobody = sighting("a", "", Outcome::Dropped);
    nobody.caller = None;
    log.saw(&nobody);
    let users = seen(&log, "a").users;
    assert_eq!(users[&"\"others\"".into()].answered, 1);
    assert_eq!(users[&MinerEvidence::OTHERS.into()].dropped, 1);
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
