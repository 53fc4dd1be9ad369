//! The power of a real file system is cut while a process writes to its ledger on it: run by `scripts/check-power-cut`,
//! which says what that needs.

use std::{collections::BTreeMap, env, path::Path, time::Duration};

use synapse_core::Micros;
use synapse_validator::ledger::{Ledger, Outcome, Query, Row, Sync, rows, verify};

use crate::{
    disk_image::Image,
    ledger::small,
    ledger_writer::{Acknowledged, Said, WINDOW, Writer, charge_of, now, write_if_asked},
};

/// The test that is the process whose power is cut, too.
const TEST: &str = "ledger_power_cut::nothing_is_lost_where_every_row_is_stored_at_once";
/// How long the disk of a busy machine may take to store what it was asked to once the window is over.
const DISK: Duration = Duration::from_millis(980);

#[test]
#[ignore = "needs root and loop devices: scripts/check-power-cut runs it"]
fn nothing_is_lost_where_every_row_is_stored_at_once() {
    write_if_asked();
    assert_eq!(cut(Writer::new(Sync::Always), times()), [""; 0]);
}

#[test]
#[ignore = "needs root and loop devices: scripts/check-power-cut runs it"]
fn no_more_than_the_window_is_lost() {
    assert_eq!(cut(Writer::new(Sync::Every(WINDOW)), times()), [""; 0]);
}

/// Or the tests above would not show that anything is stored.
#[test]
#[ignore = "needs root and loop devices: scripts/check-power-cut runs it"]
fn without_fsync_it_would() {
    for sync in [Sync::Always, Sync::Every(WINDOW)] {
        let mut writer = Writer::new(sync);
        writer.eats_syncs = true;
        noticed("fsync", writer);
    }
}

#[cfg(feature = "failpoints")]
#[test]
#[ignore = "needs root and loop devices: scripts/check-power-cut runs it"]
fn without_writes_it_would() {
    for sync in [Sync::Always, Sync::Every(WINDOW)] {
        let mut writer = Writer::new(sync);
        writer.loses_writes = true;
        noticed("writes", writer);
    }
}

fn noticed(without: &str, writer: Writer) {
    let faults = cut(writer, 10);
    println!(
        "{:?} without {without}: {} faults; {:?}",
        writer.sync,
        faults.len().saturating_sub(1),
        faults.iter().take(2).collect::<Vec<_>>()
    );
    assert!(!faults.is_empty(), "{writer:?}");
}

/// What was in the ledger after the last cut, and has to stay there.
#[derive(Default)]
struct Known {
    rows: BTreeMap<String, Row>,
    paid: u64,
}

/// What all cuts come to.
#[derive(Debug, Default)]
struct Sums {
    while_starting: u64,
    stored: u64,
    /// How long after it was acknowledged the last was stored of those that are, in nanoseconds.
    slowest: u64,
    /// Acknowledged, not called stored, and gone.
    lost: u64,
    /// How long before its cut the first of those was acknowledged, in nanoseconds.
    oldest: u64,
}

/// Cuts the power of the process so many times at random moments, and says what should not be after the first cut that
/// did harm. Each goes on with what the one before left.
fn cut(writer: Writer, times: u64) -> Vec<String> {
    let seed = number("SYNAPSE_SEED").unwrap_or_else(now);
    println!("SYNAPSE_SEED={seed} SYNAPSE_CUTS={times} repeat the moments");
    let mut random = seed | 1;
    let image = Image::new();
    let place = image.root().join("ledger");
    let (mut known, mut sums) = (Known::default(), Sums::default());
    for cut in 0..times {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let said = writer.run(&image, &place, TEST, random);
        image.power_on();
        let mut faults = Vec::new();
        check(&place, &writer, &said, &mut known, &mut sums, &mut faults);
        if !faults.is_empty() {
            faults.insert(0, format!("after cut {cut}"));
            return faults;
        }
    }
    image.check();
    println!(
        "{:?}: {times} cuts, {} of them as it started; {} rows; called stored {} times, at most {:?} after it \
         was acknowledged, all there; of what was not called so {} gone, at most {:?} before its cut",
        writer.sync,
        sums.while_starting,
        known.rows.len(),
        sums.stored,
        Duration::from_nanos(sums.slowest),
        sums.lost,
        Duration::from_nanos(sums.oldest),
    );
    assert!(sums.stored > times, "the process worked");
    Vec::new()
}

/// The ledger opens by itself, everything that has to be there is, once, and the sums agree.
fn check(
    place: &Path,
    writer: &Writer,
    said: &Said,
    known: &mut Known,
    sums: &mut Sums,
    faults: &mut Vec<String>,
) {
    let ledger = match Ledger::open(place, small().sync(writer.sync)) {
        Ok(ledger) => ledger,
        Err(error) => return faults.push(error.to_string()),
    };
    let account = ledger.account(&"alice".into());
    drop(ledger);
    let mut found = BTreeMap::<String, Row>::new();
    let mut entries = BTreeMap::new();
    let mut charged = 0;
    let read = rows(place, &Query::default(), |row| {
        charged += row.charge.0;
        if let Some(other) = entries.insert(row.entry, row.request.clone()) {
            faults.push(format!("{other} and {} are both at {}", row.request, row.entry.0));
        }
        if let Some(other) = found.insert(row.request.to_string(), row.clone()) {
            faults.push(format!("two rows of one request: {other:?}, {row:?}"));
        }
        true
    });
    if let Err(error) = read.and_then(|()| verify(place)) {
        faults.push(error.to_string());
    }
    for (request, row) in &known.rows {
        let is = found.get(request);
        if is != Some(row) {
            faults.push(format!("it was {row:?} after the cut before, and is {is:?}"));
        }
    }
    for row in found.values() {
        match &row.outcome {
            Some(Outcome::Complete) if row.charge == charge_of(row.request.as_str()) => {}
            Some(Outcome::Interrupted) if row.charge == Micros::ZERO => {}
            _ => faults.push(format!(
                "neither complete and charged nor interrupted and free: {row:?}"
            )),
        }
    }
    sums.while_starting += u64::from(said.was_starting);
    let mut expect = |all: &BTreeMap<String, Acknowledged>, is_ended: bool| {
        for (request, acknowledged) in all {
            if let Some(stored) = acknowledged.stored {
                sums.stored += 1;
                sums.slowest = sums.slowest.max(stored.saturating_sub(acknowledged.at));
            }
            let is = found.get(request);
            if is.is_some_and(|row| !is_ended || row.outcome == Some(Outcome::Complete)) {
                continue;
            }
            let before = said.cut.saturating_sub(acknowledged.at);
            if acknowledged.stored.is_some() || Duration::from_nanos(before) > WINDOW + DISK {
                faults.push(format!(
                    "{request} (ended: {is_ended}) is {is:?}: {acknowledged:?}, {before} ns before the cut"
                ));
            }
            sums.lost += 1;
            sums.oldest = sums.oldest.max(before);
        }
    };
    expect(&said.begun, false);
    expect(&said.ended, true);
    let (paid, of_account) = account.map_or((0, 0), |account| (account.paid_in.0, account.charged.0));
    if account.is_some() && of_account != charged {
        faults.push(format!(
            "the rows cost {charged}, and the account says {of_account}"
        ));
    }
    // One more may have been paid in without our having heard of it.
    let expected = known.paid + said.paid_and_stored..=known.paid + said.paid + 1;
    if !expected.contains(&paid) {
        faults.push(format!("{expected:?} was paid in, and the account says {paid}"));
    }
    *known = Known { rows: found, paid };
}

fn times() -> u64 {
    number("SYNAPSE_CUTS").unwrap_or(40)
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
