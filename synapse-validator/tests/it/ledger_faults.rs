//! A disk that loses power, and one that does not store what it is told to.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use synapse_core::{HealthStatus, Micros};
use synapse_validator::ledger::{Fault, Ledger, Outcome, Settings, Sync, cut_power, set_fault, verify};
use tempfile::tempdir;
use tokio::runtime::Builder;

use crate::ledger::{MARCH, all, charge, closing, open, opening, small, until};

/// Ends the work, however the test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Cuts the power of a ledger under load at random moments, and says what of what it called durable was lost.
fn lost(settings: &Settings, fault: Fault, cuts: u64) -> usize {
    let folder = tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), settings.clone()).unwrap();
    set_fault(folder.path(), fault);
    let stored = Mutex::new(BTreeSet::new());
    let is_over = AtomicBool::new(false);
    let mut lost = 0;
    thread::scope(|scope| {
        for worker in 0..3 {
            let (ledger, stored, is_over) = (&ledger, &stored, &is_over);
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().build().unwrap();
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let at = MARCH + number * 3 + worker;
                    let (entry, _) = ledger.begin(&opening("alice", at)).unwrap();
                    let end = ledger.end(&closing(entry, at, 1)).unwrap();
                    if number % 4 == 0 {
                        runtime.block_on(ledger.durable(end)).unwrap();
                        stored.lock().unwrap().insert(entry);
                    }
                }
            });
        }
        let _over = Over(&is_over);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        for cut in 0..cuts {
            thread::sleep(Duration::from_micros(next() % 40_000));
            let copy = tempdir().unwrap();
            let known = stored.lock().unwrap().clone();
            // All that was not stored is gone, or nothing of it, or each sector by chance.
            cut_power(folder.path(), copy.path(), || match cut % 3 {
                0 => false,
                1 => next() % 2 == 0,
                _ => next() % 16 > 0,
            });
            match Ledger::open(copy.path(), small()) {
                Ok(after) => drop(after),
                // It was told that more is stored than is.
                Err(error) if fault == Fault::SkipsSyncs && error.code() == "ledger_corrupt" => {
                    lost += 1;
                    continue;
                }
                Err(error) => panic!("cut {cut}: {error}"),
            }
            let report = all(copy.path());
            let whole = report
                .rows
                .iter()
                .filter(|row| row.outcome == Some(Outcome::Complete));
            let whole: BTreeSet<_> = whole.map(|row| row.entry).collect();
            assert_eq!(report.totals.charge, Micros(whole.len() as u64));
            lost += known.difference(&whole).count();
        }
        assert!(stored.lock().unwrap().len() as u64 > cuts, "it worked");
    });
    lost
}

#[test]
fn a_power_cut_takes_nothing_that_was_durable() {
    assert_eq!(lost(&small(), Fault::None, 30), 0);
    assert_eq!(lost(&small().sync(Sync::Always), Fault::None, 30), 0);
}

/// Or the test above would not show that anything is stored.
#[test]
fn without_syncs_it_would() {
    assert!(lost(&small(), Fault::SkipsSyncs, 9) > 0);
}

#[tokio::test]
async fn once_the_disk_failed_to_store_nothing_is_taken_any_more() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    charge(&ledger, "alice", MARCH, 1);
    let before = ledger.sync().unwrap();
    let (going_on, _) = ledger.begin(&opening("alice", MARCH)).unwrap();
    set_fault(folder.path(), Fault::FailsSyncs);
    let (entry, begun) = ledger.begin(&opening("alice", MARCH)).unwrap();
    let error = ledger.durable(begun).await.unwrap_err();
    assert_eq!(error.code(), "ledger_unavailable");
    ledger.durable(before).await.unwrap();
    // The disk may say that all is well now.
    set_fault(folder.path(), Fault::None);
    for code in [
        ledger.begin(&opening("alice", MARCH)).unwrap_err(),
        ledger.end(&closing(entry, MARCH, 1)).unwrap_err(),
        ledger.end(&closing(going_on, MARCH, 1)).unwrap_err(),
        ledger
            .top_up(&crate::ledger::top_up("later", "alice", 1))
            .unwrap_err(),
        ledger.sync().unwrap_err(),
        ledger.durable(begun).await.unwrap_err(),
    ] {
        assert_eq!(code.code(), "ledger_unavailable");
        assert!(code.to_string().contains("failed to store"), "{code}");
    }
    drop(ledger);
    let ledger = open(folder.path());
    let interrupted = ledger.recovered().interrupted;
    assert_eq!(interrupted, 2);
    charge(&ledger, "alice", MARCH, 1);
    assert_eq!(all(folder.path()).totals.charge, Micros(2));
}

#[test]
fn a_row_that_cannot_be_written_is_refused_and_the_next_takes_its_place() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let (entry, _) = ledger.begin(&opening("alice", MARCH)).unwrap();
    set_fault(folder.path(), Fault::FailsWrites);
    assert_eq!(
        ledger.begin(&opening("alice", MARCH)).unwrap_err().code(),
        "ledger_unavailable"
    );
    assert_eq!(
        ledger.end(&closing(entry, MARCH, 3)).unwrap_err().code(),
        "ledger_unavailable"
    );
    set_fault(folder.path(), Fault::None);
    ledger.end(&closing(entry, MARCH, 3)).unwrap();
    drop(ledger);
    until(|| all(folder.path()).totals.charge == Micros(3));
    assert_eq!(open(folder.path()).recovered().torn_bytes, 0);
}

/// A look every quarter of a second finds that rows are taken again; nobody has to ask for one.
#[test]
fn it_is_well_again_without_a_request_once_rows_can_be_written() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    for _ in 0..2 {
        set_fault(folder.path(), Fault::FailsWrites);
        ledger.begin(&opening("alice", MARCH)).unwrap_err();
        assert_eq!(ledger.health().status(), HealthStatus::Unhealthy);
        set_fault(folder.path(), Fault::None);
        until(|| ledger.health().status() == HealthStatus::Ready);
        charge(&ledger, "alice", MARCH, 1);
    }
    drop(ledger);
    assert_eq!(all(folder.path()).totals.charge, Micros(2));
    verify(folder.path()).unwrap();
}

#[test]
fn after_a_failure_to_store_it_stays_unwell() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    set_fault(folder.path(), Fault::FailsSyncs);
    ledger.begin(&opening("alice", MARCH)).unwrap();
    ledger.sync().unwrap_err();
    set_fault(folder.path(), Fault::None);
    // What looks after the ledger has looked twice.
    for name in ["one", "two"] {
        let message = folder.path().join("inbox").join(name);
        fs::write(message.with_extension("json"), b"{").unwrap();
        until(|| message.with_extension("refused").exists());
    }
    assert_eq!(ledger.health().status(), HealthStatus::Unhealthy);
    assert_eq!(
        ledger.begin(&opening("alice", MARCH)).unwrap_err().code(),
        "ledger_unavailable"
    );
}
