//! A ledger whose files are deleted, renamed or replaced while a process writes to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use synapse_core::{Attached as _, HealthStatus, MetricsData, Micros};
use synapse_validator::{
    billing::PriceBook,
    ledger::{Corruption, EntryId, Ledger, LedgerLayer, Sync},
};
use tempfile::{TempDir, tempdir};

use crate::ledger::{MARCH, all, charge, closing, open, opening, small, top_up, until};

/// A ledger of one request that was charged, one that goes on, and a balance.
struct Running {
    ledger: Ledger,
    going_on: EntryId,
    folder: TempDir,
}

impl Running {
    fn new(sync: Sync) -> Self {
        let folder = tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("ledger"), small().sync(sync)).unwrap();
        ledger.top_up(&top_up("first", "alice", 1_000_000)).unwrap();
        charge(&ledger, "alice", MARCH, 1);
        let (going_on, _) = ledger.begin(&opening("alice", MARCH)).unwrap();
        ledger.sync().unwrap();
        Self {
            ledger,
            going_on,
            folder,
        }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Every way to write is refused, and says so to whoever asks and to whoever looks.
    fn refuses_everything(&self) {
        for error in [
            self.ledger.begin(&opening("alice", MARCH)).unwrap_err(),
            self.ledger.end(&closing(self.going_on, MARCH, 1)).unwrap_err(),
            self.ledger.top_up(&top_up("later", "alice", 1)).unwrap_err(),
        ] {
            assert_eq!(error.code(), "ledger_unavailable");
            assert!(error.to_string().contains("deleted or moved"), "{error}");
            assert!(
                !error.to_string().contains("segments"),
                "callers read it: {error}"
            );
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(
                cause.contains(self.directory().to_str().unwrap()) && cause.contains("put back"),
                "{cause}"
            );
        }
        self.is_unhealthy();
    }

    fn is_unhealthy(&self) {
        until(|| self.ledger.health().status() == HealthStatus::Unhealthy);
        let health = self.ledger.health();
        assert!(
            health.reason().unwrap().contains("deleted or moved"),
            "{health:?}"
        );
    }
}

/// What is in a folder, by path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn delete(running: &Running) {
    fs::remove_dir_all(running.directory()).unwrap();
}

fn delete_segments(running: &Running) {
    fs::remove_dir_all(running.directory().join("segments")).unwrap();
}

fn delete_the_segment(running: &Running) {
    fs::remove_file(running.directory().join("segments/0000000001.rows")).unwrap();
}

/// At once: a row that was acknowledged after its file was deleted nobody would ever read.
#[test]
fn once_its_file_is_deleted_no_row_is_acknowledged() {
    for delete in [delete, delete_segments, delete_the_segment] {
        for sync in [Sync::Always, small().sync] {
            let running = Running::new(sync);
            delete(&running);
            running.refuses_everything();
        }
    }
}

#[test]
fn it_is_noticed_without_a_request() {
    for delete in [delete, delete_segments, delete_the_segment] {
        let running = Running::new(small().sync);
        assert_eq!(running.ledger.health().status(), HealthStatus::Ready);
        delete(&running);
        running.is_unhealthy();
        running.refuses_everything();
    }
}

#[test]
fn who_starts_again_is_told() {
    for (delete, code) in [
        (delete as fn(&Running), None),
        (delete_segments, Some("ledger_segment_missing")),
        (delete_the_segment, Some("ledger_segment_missing")),
    ] {
        let running = Running::new(small().sync);
        assert!(running.ledger.recovered().is_new);
        delete(&running);
        running.refuses_everything();
        let directory = running.directory();
        drop(running.ledger);
        match (Ledger::open(&directory, small()), code) {
            (Ok(ledger), None) => {
                assert!(ledger.recovered().is_new);
                let said = ledger.recovered().to_string();
                assert!(said.contains("an empty one was begun"), "{said}");
                drop(ledger);
                assert!(!open(&directory).recovered().is_new, "once");
            }
            (Err(error), Some(code)) => {
                assert_eq!(error.code(), code, "{error}");
                // An operator may go on without it.
                let settings = small().corruption(Corruption::SetAside);
                let ledger = Ledger::open(&directory, settings).unwrap();
                assert_eq!(ledger.recovered().lost_segments, 1);
                charge(&ledger, "alice", MARCH, 1);
                drop(ledger);
                assert!(!open(&directory).recovered().is_new);
            }
            (opened, _) => panic!("{opened:?}"),
        }
    }
}

/// Renamed, its rows are where it is now: all that was acknowledged is there, and nothing is in what took its place.
#[test]
fn a_directory_that_is_renamed_keeps_what_was_acknowledged() {
    let running = Running::new(small().sync);
    let (directory, moved) = (running.directory(), running.folder.path().join("moved"));
    fs::rename(&directory, &moved).unwrap();
    fs::create_dir(&directory).unwrap();
    let mut acknowledged = BTreeSet::from([running.going_on]);
    for at in MARCH.. {
        match running.ledger.begin(&opening("alice", at)) {
            Ok((entry, _)) => acknowledged.insert(entry),
            Err(_) => break,
        };
    }
    running.refuses_everything();
    drop(running.ledger);
    assert_eq!(files(&directory).len(), 0, "nothing was made in its place");
    let empty = open(&directory);
    assert!(empty.recovered().is_new);
    assert_eq!(empty.balance(&"alice".into()), None);
    drop(empty);
    // Put back, it goes on.
    fs::remove_dir_all(&directory).unwrap();
    fs::rename(&moved, &directory).unwrap();
    let ledger = open(&directory);
    assert!(!ledger.recovered().is_new);
    assert_eq!(ledger.recovered().interrupted, acknowledged.len() as u64);
    assert_eq!(ledger.balance(&"alice".into()), Some(Micros(999_999)));
    drop(ledger);
    let rows: BTreeSet<_> = all(&directory).rows.into_iter().map(|row| row.entry).collect();
    assert!(acknowledged.is_subset(&rows));
}

#[tokio::test]
async fn what_is_stored_where_nobody_finds_it_is_not_durable() {
    for folder in ["", "segments"] {
        let running = Running::new(Sync::Always);
        let before = running.ledger.sync().unwrap();
        let (place, moved) = (
            running.directory().join(folder),
            running.folder.path().join("moved"),
        );
        fs::rename(&place, &moved).unwrap();
        fs::create_dir(&place).unwrap();
        // Where it was noticed before, it is not taken at all.
        if let Ok((_, begun)) = running.ledger.begin(&opening("alice", MARCH)) {
            let error = running.ledger.durable(begun).await.unwrap_err();
            assert_eq!(error.code(), "ledger_unavailable");
        }
        running.ledger.durable(before).await.unwrap();
        running.refuses_everything();
    }
}

/// Such as a backup that was put there while the process ran.
#[test]
fn another_ledger_in_its_place_is_not_touched() {
    let folder = tempdir().unwrap();
    let (directory, moved, other) = (
        folder.path().join("ledger"),
        folder.path().join("moved"),
        folder.path().join("other"),
    );
    let backup = open(&other);
    backup.top_up(&top_up("first", "bob", 5)).unwrap();
    for number in 0..300 {
        charge(&backup, "bob", MARCH + number, 1);
    }
    drop(backup);
    // Whoever has this ledger refuses it.
    fs::write(other.join("inbox/junk.json"), b"{").unwrap();
    let ledger = open(&directory);
    charge(&ledger, "alice", MARCH, 1);
    fs::rename(&directory, &moved).unwrap();
    fs::rename(&other, &directory).unwrap();
    let before = files(&directory);
    // More than a segment holds.
    for number in 0..1000 {
        let Ok((entry, _)) = ledger.begin(&opening("alice", MARCH + number)) else {
            break;
        };
        let _ = ledger.end(&closing(entry, MARCH + number, 1));
    }
    until(|| ledger.begin(&opening("alice", MARCH)).is_err());
    // As long as it takes to look after a ledger a few times.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert!(files(&directory) == before, "it is as it was");
    }
    drop(ledger);
    assert!(files(&directory) == before, "it is as it was");
    assert_eq!(
        open(&directory).account(&"bob".into()).unwrap().charged,
        Micros(300)
    );
}

#[test]
fn whoever_looks_after_the_gateway_sees_it() {
    let running = Running::new(small().sync);
    let layer = LedgerLayer::new(running.ledger.clone(), PriceBook::free());
    assert_eq!(layer.health().status(), HealthStatus::Ready);
    delete(&running);
    until(|| layer.health().status() == HealthStatus::Unhealthy);
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    assert!(metrics.get("ledger.sync_seconds_count", &[]).unwrap() > 0.0);
}
