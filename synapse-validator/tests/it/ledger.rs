//! Rows, balances and spending, as they are while a ledger is open and after it is opened again.

use std::{path::Path, time::Duration};

use synapse_core::{CallerId, Micros, NodeId, OperationId, TokenCount};
use synapse_validator::ledger::{
    Closing, EntryId, Ledger, Opening, Outcome, Payer, PriceVersion, Query, Report, Row, Settings, Span,
    Sync, TopUp, query,
};
use tempfile::tempdir;

/// 1 March 2026, 00:00 UTC.
pub(crate) const MARCH: u64 = 1_772_323_200_000;
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn opening(caller: &str, at: u64) -> Opening {
    let mut opening = Opening::new(at, format!("request-{at}").into(), "model-1");
    opening.caller = Some(caller.into());
    opening.key = Some(format!("{caller}-key").into());
    opening.prompt = TokenCount::exact(10);
    opening.most_completion = 100;
    opening.price = Some(PriceVersion(3));
    opening.hold = Micros(500);
    opening
}

pub(crate) fn closing(entry: EntryId, at: u64, charge: u64) -> Closing {
    let mut closing = Closing::new(entry, at, Outcome::Complete);
    closing.miner = Some(NodeId::from("miner-1"));
    closing.prompt = TokenCount::exact(10);
    closing.completion = TokenCount::exact(7);
    closing.events = 8;
    closing.charge = Micros(charge);
    closing.first_ms = Some(20);
    closing.total_ms = 90;
    closing
}

pub(crate) fn top_up(name: &str, caller: &str, amount: u64) -> TopUp {
    TopUp::new(OperationId::from(name), MARCH, caller, Micros(amount))
}

pub(crate) fn open(directory: &Path) -> Ledger {
    Ledger::open(directory, small()).unwrap()
}

/// Segments that some hundred rows fill.
pub(crate) fn small() -> Settings {
    Settings::default().segment_bytes(64 << 10)
}

pub(crate) fn all(directory: &Path) -> Report {
    let mut query_of_all = Query::default();
    query_of_all.most_rows = usize::MAX;
    query(directory, &query_of_all).unwrap()
}

/// One request of `caller`, begun and ended, that costs so much.
pub(crate) fn charge(ledger: &Ledger, caller: &str, at: u64, charge: u64) -> EntryId {
    let (entry, _) = ledger.begin(&opening(caller, at)).unwrap();
    ledger.end(&closing(entry, at + 90, charge)).unwrap();
    entry
}

/// Waits until it is so, for a minute.
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never was so");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn of(name: &str) -> CallerId {
    CallerId::from(name)
}

#[test]
fn a_row_says_all_that_was_entered() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let (entry, _) = ledger.begin(&opening("alice", MARCH)).unwrap();
    let mut end = closing(entry, MARCH + 1000, 42);
    end.outcome = Outcome::Broken("miner_gone".to_owned());
    end.completion = TokenCount::approximate(9);
    ledger.end(&end).unwrap();
    drop(ledger);
    let [row]: [Row; 1] = all(folder.path()).rows.try_into().unwrap();
    assert_eq!(row.entry, entry);
    assert_eq!((row.began, row.ended), (MARCH, Some(MARCH + 1000)));
    assert_eq!(row.request.as_str(), format!("request-{MARCH}"));
    assert_eq!(row.caller, Some("alice".into()));
    assert_eq!(row.key, Some("alice-key".into()));
    assert_eq!((&*row.model, row.miner), ("model-1", Some("miner-1".into())));
    assert_eq!(
        (row.prompt_tokens, row.completion_tokens, row.is_exact),
        (10, 9, false)
    );
    assert_eq!(
        (row.price, row.hold, row.charge),
        (Some(PriceVersion(3)), Micros(500), Micros(42))
    );
    assert_eq!((row.events, row.first_ms, row.total_ms), (8, Some(20), Some(90)));
    assert_eq!(row.outcome, Some(Outcome::Broken("miner_gone".to_owned())));
}

#[test]
fn balances_and_spending_are_the_same_after_it_is_opened_again() {
    let folder = tempdir().unwrap();
    let known = |ledger: &Ledger| {
        let month = |who: Payer| ledger.spent(&who, Span::Month, MARCH + 40 * DAY);
        (
            ledger.accounts(),
            ledger.balance(&of("alice")),
            ledger.balance(&of("bob")),
            month(Payer::Caller("alice".into())),
            month(Payer::Key("alice-key".into())),
            ledger.spent(&Payer::Caller("alice".into()), Span::Day, MARCH),
        )
    };
    let ledger = open(folder.path());
    ledger.top_up(&top_up("first", "alice", 10_000)).unwrap();
    charge(&ledger, "alice", MARCH, 100);
    charge(&ledger, "alice", MARCH + 39 * DAY, 20);
    charge(&ledger, "alice", MARCH + 40 * DAY, 3);
    charge(&ledger, "bob", MARCH, 5);
    let before = known(&ledger);
    assert_eq!(before.1, Some(Micros(9877)));
    assert_eq!(before.2, None, "bob never paid anything in");
    assert_eq!(
        (before.3, before.4, before.5),
        (Micros(23), Micros(23), Micros(100))
    );
    drop(ledger);
    assert_eq!(known(&open(folder.path())), before);
}

#[test]
fn many_segments_add_up_as_one_does() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.top_up(&top_up("first", "alice", 1_000_000)).unwrap();
    for number in 0..3000 {
        charge(&ledger, "alice", MARCH + number * 60_000, number);
    }
    let sum = Micros((0..3000).sum());
    assert_eq!(ledger.account(&of("alice")).unwrap().charged, sum);
    drop(ledger);
    let segments = folder.path().join("segments");
    let count = segments.read_dir().unwrap().count();
    assert!(count > 10, "{count} files");
    let ledger = open(folder.path());
    assert_eq!(ledger.account(&of("alice")).unwrap().charged, sum);
    assert!(
        ledger.recovered().rows < 1000,
        "what is over is not read again: {}",
        ledger.recovered()
    );
    let report = all(folder.path());
    assert_eq!((report.totals.requests, report.totals.charge), (3000, sum));
    assert_eq!(report.rows.len(), 3000);
    // Nothing of it is needed but the rows.
    drop(ledger);
    std::fs::remove_file(folder.path().join("checkpoint")).unwrap();
    for entry in segments.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "totals" {
            std::fs::remove_file(path).unwrap();
        }
    }
    let ledger = open(folder.path());
    assert_eq!(ledger.account(&of("alice")).unwrap().charged, sum);
    assert!(ledger.recovered().rows > 6000, "{}", ledger.recovered());
    assert_eq!(all(folder.path()), report);
}

#[test]
fn an_entry_is_closed_once() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let entry = charge(&ledger, "alice", MARCH, 5);
    let again = ledger.end(&closing(entry, MARCH, 5)).unwrap_err();
    assert_eq!(again.code(), "ledger_entry_closed");
    let never = ledger.end(&closing(EntryId(7), MARCH, 5)).unwrap_err();
    assert_eq!(never.code(), "ledger_entry_closed");
    drop(ledger);
    let again = open(folder.path()).end(&closing(entry, MARCH, 5)).unwrap_err();
    assert_eq!(again.code(), "ledger_entry_closed");
    assert_eq!(all(folder.path()).totals.charge, Micros(5));
}

#[test]
fn a_payment_counts_once_however_often_it_is_entered() {
    let folder = tempdir().unwrap();
    for _ in 0..2 {
        let ledger = open(folder.path());
        ledger.top_up(&top_up("invoice-1", "alice", 70)).unwrap();
        ledger.top_up(&top_up("invoice-1", "alice", 70)).unwrap();
        assert_eq!(ledger.balance(&of("alice")), Some(Micros(70)));
        let other = ledger.top_up(&top_up("invoice-1", "alice", 80)).unwrap_err();
        assert_eq!(other.code(), "ledger_payment_differs");
        let other = ledger
            .top_up(&top_up("invoice-2", "alice", u64::MAX))
            .unwrap_err();
        assert_eq!(other.code(), "ledger_amount_too_large");
    }
}

#[test]
fn what_went_on_when_the_process_ended_is_interrupted_and_costs_nothing() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let (entry, _) = ledger.begin(&opening("alice", MARCH)).unwrap();
    charge(&ledger, "alice", MARCH + 5000, 9);
    let [over, going_on]: [Row; 2] = all(folder.path()).rows.try_into().unwrap();
    assert_eq!((going_on.entry, going_on.outcome), (entry, None));
    assert_eq!(over.outcome, Some(Outcome::Complete));
    drop(ledger);
    let ledger = open(folder.path());
    assert_eq!(ledger.recovered().interrupted, 1);
    let interrupted = all(folder.path()).rows.pop().unwrap();
    assert_eq!((interrupted.entry, interrupted.charge), (entry, Micros::ZERO));
    assert_eq!(interrupted.outcome, Some(Outcome::Interrupted));
    assert_eq!(
        interrupted.total_ms,
        Some(5090),
        "until the last that is known of the process"
    );
    drop(ledger);
    assert_eq!(open(folder.path()).recovered().interrupted, 0, "once");
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let second = Ledger::open(folder.path(), Settings::default()).unwrap_err();
    assert_eq!(second.code(), "data_dir_locked");
    drop(ledger.clone());
    assert!(
        Ledger::open(folder.path(), Settings::default()).is_err(),
        "a clone is left"
    );
    drop(ledger);
    open(folder.path());
}

#[test]
fn names_are_cut_but_never_those_of_who_pays() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let long = "é".repeat(500_000);
    let mut of_nobody = Opening::new(MARCH, long.as_str().into(), long.as_str());
    let (entry, _) = ledger.begin(&of_nobody).unwrap();
    let mut end = closing(entry, MARCH, 0);
    end.miner = Some(long.as_str().into());
    end.outcome = Outcome::Failed(long.clone());
    ledger.end(&end).unwrap();
    of_nobody.caller = Some(long.as_str().into());
    assert_eq!(
        ledger.begin(&of_nobody).unwrap_err().code(),
        "ledger_name_too_long"
    );
    of_nobody.caller = None;
    of_nobody.key = Some(long.as_str().into());
    assert_eq!(
        ledger.begin(&of_nobody).unwrap_err().code(),
        "ledger_name_too_long"
    );
    drop(ledger);
    let [row]: [Row; 1] = all(folder.path()).rows.try_into().unwrap();
    assert_eq!(row.model, "é".repeat(128));
    assert_eq!(row.outcome.unwrap().code(), Some(&*"é".repeat(32)));
}

#[tokio::test]
async fn rows_are_stored_within_the_window() {
    let folder = tempdir().unwrap();
    for sync in [Sync::Always, Sync::Every(Duration::from_millis(20))] {
        let ledger = Ledger::open(folder.path(), small().sync(sync)).unwrap();
        for number in 0..20 {
            let (entry, begun) = ledger.begin(&opening("alice", MARCH + number)).unwrap();
            let ended = ledger.end(&closing(entry, MARCH + number, 1)).unwrap();
            assert!(begun < ended);
            ledger.durable(ended).await.unwrap();
            ledger.durable(begun).await.unwrap();
        }
    }
}
