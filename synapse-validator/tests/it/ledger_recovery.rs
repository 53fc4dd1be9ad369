//! What a ledger says and keeps where the disk does not hold what was written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use synapse_core::{Error, Micros};
use synapse_validator::ledger::{Corruption, EntryId, Ledger, Outcome, Query, Settings, query, verify};
use tempfile::{TempDir, tempdir};

use crate::ledger::{MARCH, all, charge, closing, open, opening, small, top_up};

/// Where the rows of a segment begin.
const HEADER: usize = 32;

fn rows_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("segments/{number:010}.rows"))
}

/// A folder in memory, where the system has such a place: what is shown here asks nothing of a disk.
fn quick() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        tempdir().unwrap()
    }
}

fn copied(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in from.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let place = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &place);
            } else {
                fs::copy(&path, place).unwrap();
            }
        }
    }
    let to = quick();
    copy(from, to.path());
    to
}

fn set_aside() -> Settings {
    small().corruption(Corruption::SetAside)
}

fn refused(directory: &Path) -> Error {
    Ledger::open(directory, small()).unwrap_err()
}

/// Whether an operator is told the option that goes on without what is corrupt or missing.
fn names_the_option(said: &str) -> bool {
    said.contains("billing.set_corrupt_aside")
}

#[cfg(feature = "config")]
#[test]
fn the_option_that_a_hint_names_is_one() {
    let mut config = synapse_validator::billing::BillingConfig::default();
    config.set_corrupt_aside = true;
    assert_eq!(config.settings().corruption, Corruption::SetAside);
}

/// A ledger of so many requests of alice, each of which costs 1, closed in order.
fn of_requests(count: u64) -> TempDir {
    let folder = quick();
    let ledger = open(folder.path());
    ledger.top_up(&top_up("first", "alice", 1_000_000)).unwrap();
    for number in 0..count {
        charge(&ledger, "alice", MARCH + number, 1);
    }
    drop(ledger);
    folder
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

/// Cut at any byte, the rows before are there, the row that was cut is not, and what is left of it is kept aside.
#[test]
fn a_torn_tail_is_cut_off_at_any_byte() {
    let folder = quick();
    let ledger = open(folder.path());
    let mut ends = Vec::new();
    for number in 0..4 {
        let (entry, _) = ledger.begin(&opening("alice", MARCH + number)).unwrap();
        let bytes = fs::read(rows_of(folder.path(), 1)).unwrap();
        ledger.end(&closing(entry, MARCH + number, 1)).unwrap();
        ends.push((used(&bytes), 2 * number + 1));
        let bytes = fs::read(rows_of(folder.path(), 1)).unwrap();
        ends.push((used(&bytes), 2 * number + 2));
    }
    let bytes = fs::read(rows_of(folder.path(), 1)).unwrap();
    let end = used(&bytes);
    for cut in (HEADER..=end).rev() {
        let torn = copied(folder.path());
        let mut left = bytes.clone();
        left[cut..].fill(0);
        fs::write(rows_of(torn.path(), 1), left).unwrap();
        let whole = ends.iter().filter(|(end, _)| *end <= cut).count() as u64;
        let ledger = open(torn.path());
        assert_eq!(ledger.recovered().interrupted, whole % 2, "cut at {cut}");
        drop(ledger);
        let report = all(torn.path());
        let complete = report
            .rows
            .iter()
            .filter(|row| row.outcome == Some(Outcome::Complete))
            .count();
        assert_eq!(complete as u64, whole / 2, "cut at {cut}");
        assert_eq!(report.totals.charge, Micros(whole / 2), "cut at {cut}");
        // What was cut off is kept, and opening it again finds nothing wrong.
        let again = open(torn.path());
        assert_eq!(
            (again.recovered().torn_bytes, again.recovered().interrupted),
            (0, 0)
        );
        charge(&again, "alice", MARCH, 1);
    }
}

#[test]
fn what_is_cut_off_is_kept_aside() {
    let folder = of_requests(3);
    let path = rows_of(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let end = used(&bytes);
    bytes[end..end + 5].copy_from_slice(b"torn!");
    fs::write(&path, bytes).unwrap();
    let ledger = open(folder.path());
    assert_eq!(ledger.recovered().torn_bytes, 5);
    let said = ledger.recovered().to_string();
    assert!(
        said.contains("0000000001.rows") && said.contains("torn/0000000001"),
        "{said}"
    );
    let kept = folder
        .path()
        .join("torn")
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(fs::read(kept.path()).unwrap(), b"torn!");
    assert_eq!(all(folder.path()).totals.requests, 3);
}

/// A bit of any row that the disk was known to have kept: the ledger refuses to open, names the file and the place, and
/// changes nothing.
#[test]
fn a_flipped_bit_is_told_from_a_torn_tail() {
    let folder = of_requests(3);
    let path = rows_of(folder.path(), 1);
    let bytes = fs::read(&path).unwrap();
    // The last row says how far the disk is.
    let last = used(&bytes);
    let mut corrupt = 0;
    for at in 0..last {
        let broken = copied(folder.path());
        let path = rows_of(broken.path(), 1);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        match Ledger::open(broken.path(), small()) {
            Ok(ledger) => {
                // Nothing of a request is in it.
                assert!(
                    ledger.recovered().torn_bytes > 0 && at >= last - 20,
                    "byte {at} of {last}"
                );
                assert_eq!(ledger.account(&"alice".into()).unwrap().charged, Micros(3));
                assert_eq!(all(broken.path()).totals.requests, 3);
            }
            Err(error) => {
                corrupt += 1;
                // The version is checked before it is used.
                assert_eq!(error.code(), "ledger_corrupt", "byte {at}: {error}");
                let said = error.to_string();
                assert!(
                    said.contains(path.to_str().unwrap())
                        && said.contains("restore")
                        && names_the_option(&said),
                    "{said}"
                );
                assert_eq!(fs::read(&path).unwrap(), flipped, "byte {at}");
                assert!(query(broken.path(), &Query::default()).is_err(), "byte {at}");
            }
        }
    }
    assert!(corrupt >= last - 20, "{corrupt} of {last}");
}

#[test]
fn an_operator_may_go_on_and_is_told_what_is_lost() {
    let folder = of_requests(3);
    let path = rows_of(folder.path(), 1);
    let bytes = fs::read(&path).unwrap();
    let last = used(&bytes) - 20;
    for at in (HEADER..last).step_by(7) {
        let broken = copied(folder.path());
        let path = rows_of(broken.path(), 1);
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, &flipped).unwrap();
        let ledger = Ledger::open(broken.path(), set_aside()).unwrap();
        let found = ledger.recovered().clone();
        assert!(found.corrupt_bytes > 0, "byte {at}");
        let said = found.to_string();
        assert!(
            said.contains("corrupt/0000000001") && said.contains("0000000001.rows"),
            "{said}"
        );
        charge(&ledger, "alice", MARCH, 1);
        drop(ledger);
        // Each request whose closing row is whole counts, its opening or not; it can be opened without the option now.
        let report = all(broken.path());
        assert!((3..=4).contains(&report.totals.requests), "byte {at}: {report:?}");
        assert!(report.totals.charge >= Micros(3), "byte {at}");
        let again = open(broken.path());
        assert_eq!(
            (again.recovered().corrupt_bytes, again.recovered().torn_bytes),
            (0, 0),
            "byte {at}"
        );
    }
}

#[test]
fn a_flipped_bit_of_a_segment_that_is_over_is_found_when_it_is_read() {
    let folder = of_requests(1000);
    let path = rows_of(folder.path(), 2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 4;
    fs::write(&path, bytes).unwrap();
    // What it adds up to is stored apart.
    let ledger = open(folder.path());
    assert_eq!(ledger.account(&"alice".into()).unwrap().charged, Micros(1000));
    drop(ledger);
    assert_eq!(
        query(folder.path(), &Query::default()).unwrap().totals.requests,
        1000
    );
    let found = verify(folder.path()).unwrap_err();
    assert_eq!(found.code(), "ledger_corrupt");
    assert!(
        found.to_string().contains("0000000002.rows is corrupt at byte"),
        "{found}"
    );
    // Without those it has to be read.
    fs::remove_file(path.with_extension("totals")).unwrap();
    assert_eq!(refused(folder.path()).code(), "ledger_corrupt");
    let ledger = Ledger::open(folder.path(), set_aside()).unwrap();
    assert_eq!(ledger.account(&"alice".into()).unwrap().charged, Micros(1000));
    drop(ledger);
    let rows = query(folder.path(), &Query::default()).unwrap().totals.requests;
    assert!((999..=1000).contains(&rows), "{rows}");
    verify(folder.path()).unwrap();
}

#[test]
fn totals_and_sums_that_are_corrupt_are_added_up_anew() {
    for name in ["checkpoint", "segments/0000000001.totals"] {
        let folder = of_requests(1000);
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 16) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 2;
            fs::write(&path, flipped).unwrap();
            if name.ends_with("totals") && (72..76).contains(&at) {
                continue;
            }
            if (8..12).contains(&at) {
                assert_eq!(refused(folder.path()).code(), "ledger_newer");
                continue;
            }
            let ledger = open(folder.path());
            let said = ledger.recovered().to_string();
            // Sums of segments that are over are read when they are asked for.
            let is_sums = name.ends_with("totals") && at >= 64;
            assert_eq!(
                said.contains("added up anew"),
                !is_sums,
                "{name} byte {at}: {said}"
            );
            if is_sums {
                assert!(verify(folder.path()).is_err(), "{name} byte {at}");
            }
            assert_eq!(ledger.account(&"alice".into()).unwrap().charged, Micros(1000));
            drop(ledger);
            assert_eq!(all(folder.path()).totals.requests, 1000);
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let folder = of_requests(2000);
    let count = (1..)
        .take_while(|number| rows_of(folder.path(), *number).exists())
        .count() as u64;
    assert!(count > 4, "{count}");
    for number in 1..=count {
        let broken = copied(folder.path());
        let path = rows_of(broken.path(), number);
        fs::remove_file(&path).unwrap();
        let error = refused(broken.path());
        assert_eq!(error.code(), "ledger_segment_missing", "{number}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(names_the_option(&error.to_string()), "{error}");
        let ledger = Ledger::open(broken.path(), set_aside()).unwrap();
        assert_eq!(ledger.recovered().lost_segments, 1);
        let charged = ledger.account(&"alice".into()).unwrap().charged;
        charge(&ledger, "alice", MARCH, 1);
        drop(ledger);
        // Of all segments but the last, what they add up to is stored apart.
        if number < count {
            assert_eq!(charged, Micros(2000));
            assert_eq!(
                query(broken.path(), &Query::default()).unwrap().totals.requests,
                2001
            );
        }
        let again = open(broken.path());
        assert_eq!(again.recovered().lost_segments, 0);
        assert!(again.account(&"alice".into()).unwrap().charged > charged);
    }
    // A segment that does not end where it did is not mended.
    let broken = copied(folder.path());
    let path = rows_of(broken.path(), 2);
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length - 1).unwrap();
    assert!(!names_the_option(&refused(broken.path()).to_string()));
    // Nothing but the sums is left.
    let broken = copied(folder.path());
    fs::remove_dir_all(broken.path().join("segments")).unwrap();
    assert_eq!(refused(broken.path()).code(), "ledger_segment_missing");
}

#[test]
fn a_segment_of_another_ledger_or_place_is_no_segment() {
    let (one, other) = (of_requests(2000), of_requests(1500));
    fs::copy(rows_of(one.path(), 3), rows_of(one.path(), 2)).unwrap();
    assert_eq!(refused(one.path()).code(), "ledger_corrupt");
    fs::write(rows_of(other.path(), 2), b"").unwrap();
    assert_eq!(refused(other.path()).code(), "ledger_corrupt");
}

#[test]
fn a_segment_that_was_cut_short_is_corrupt() {
    let folder = of_requests(1000);
    let path = rows_of(folder.path(), 2);
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length - 1).unwrap();
    let error = refused(folder.path());
    assert_eq!(error.code(), "ledger_corrupt");
    assert!(error.to_string().contains("ends early"), "{error}");
}

#[test]
fn old_rows_are_folded_into_their_totals() {
    let folder = of_requests(2000);
    let before = query(folder.path(), &Query::default()).unwrap();
    // All of it is from March, and long ago.
    let keep = small().keep_rows(std::time::Duration::from_secs(1));
    let ledger = Ledger::open(folder.path(), keep).unwrap();
    let gone = || !rows_of(folder.path(), 1).exists() && !rows_of(folder.path(), 4).exists();
    crate::ledger::until(gone);
    assert_eq!(ledger.account(&"alice".into()).unwrap().charged, Micros(2000));
    drop(ledger);
    assert_eq!(query(folder.path(), &Query::default()).unwrap(), before);
    let mut of_part = Query::default();
    of_part.from = Some(MARCH + 5);
    assert_eq!(
        query(folder.path(), &of_part).unwrap_err().code(),
        "ledger_rows_folded"
    );
    assert!(all(folder.path()).rows.len() < 2000);
    // What is left is enough to add everything up again.
    fs::remove_file(folder.path().join("checkpoint")).unwrap();
    let ledger = open(folder.path());
    let account = ledger.account(&"alice".into()).unwrap();
    assert_eq!(
        (account.charged, account.paid_in),
        (Micros(2000), Micros(1_000_000))
    );
    let again = ledger.end(&closing(EntryId(200), MARCH, 1)).unwrap_err();
    assert_eq!(again.code(), "ledger_entry_closed");
}
