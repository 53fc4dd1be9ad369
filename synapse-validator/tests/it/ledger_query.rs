//! What can be asked of a ledger, while it is open and after.

use proptest::prelude::*;
use synapse_core::{Micros, NodeId};
use synapse_validator::ledger::{
    By, Closing, Ledger, Opening, Outcome, Query, Row, query, rows, write_csv, write_csv_head,
};
use tempfile::tempdir;

use crate::ledger::{DAY, MARCH, closing, open, opening, small};

fn row_of(ledger: &Ledger, caller: &str, model: &str, miner: &str, at: u64, charge: u64) {
    let mut begin = opening(caller, at);
    begin.model = model.to_owned();
    let (entry, _) = ledger.begin(&begin).unwrap();
    let mut end = closing(entry, at, charge);
    end.miner = Some(NodeId::from(miner));
    ledger.end(&end).unwrap();
}

#[test]
fn totals_are_by_what_was_asked_for() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    row_of(&ledger, "alice", "small", "m1", MARCH, 1);
    row_of(&ledger, "alice", "large", "m1", MARCH + DAY, 10);
    row_of(&ledger, "alice", "large", "m2", MARCH + DAY, 100);
    row_of(&ledger, "bob", "large", "m2", MARCH + 2 * DAY, 1000);
    let asked = |set: fn(&mut Query)| {
        let mut asked = Query::default();
        set(&mut asked);
        let report = query(folder.path(), &asked).unwrap();
        let groups = report
            .groups
            .into_iter()
            .map(|(names, totals)| (names.join(" "), totals.charge.0));
        (report.totals.charge.0, groups.collect::<Vec<_>>())
    };
    let group = |name: &str, charge: u64| (name.to_owned(), charge);
    assert_eq!(asked(|_| {}), (1111, vec![]));
    assert_eq!(asked(|query| query.caller = Some("alice".into())).0, 111);
    assert_eq!(asked(|query| query.key = Some("bob-key".into())).0, 1000);
    assert_eq!(asked(|query| query.miner = Some("m2".into())).0, 1100);
    assert_eq!(
        asked(|query| {
            query.model = Some("large".to_owned());
            query.by = vec![By::Caller, By::Miner];
        }),
        (
            1110,
            vec![
                group("alice m1", 10),
                group("alice m2", 100),
                group("bob m2", 1000)
            ]
        )
    );
    assert_eq!(
        asked(|query| {
            query.from = Some(MARCH + DAY);
            query.until = Some(MARCH + 2 * DAY);
            query.by = vec![By::Day];
        }),
        (110, vec![group("2026-03-02", 110)])
    );
    assert_eq!(asked(|query| query.until = Some(MARCH + 1)).0, 1, "part of a day");
    assert_eq!(asked(|query| query.caller = Some("eve".into())).0, 0);
}

#[test]
fn where_there_is_no_ledger_it_says_so() {
    let folder = tempdir().unwrap();
    let error = query(folder.path(), &Query::default()).unwrap_err();
    assert_eq!(error.code(), "ledger_not_found");
}

#[test]
fn so_many_rows_are_returned_and_all_are_summed_up() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    for number in 0..1500 {
        row_of(&ledger, "alice", "small", "m1", MARCH + number, 1);
    }
    let mut asked = Query::default();
    asked.most_rows = 10;
    let report = query(folder.path(), &asked).unwrap();
    assert_eq!((report.rows.len(), report.has_more), (10, true));
    assert_eq!(report.rows[9].began, MARCH + 9);
    assert_eq!(report.totals.requests, 1500);
    let mut late = Query::default();
    late.from = Some(MARCH + 1490);
    let mut found = Vec::new();
    rows(folder.path(), &late, |row| {
        found.push(row.began - MARCH);
        true
    })
    .unwrap();
    assert_eq!(found, (1490..1500).collect::<Vec<_>>());
}

#[test]
fn a_line_of_csv_is_one_row_whatever_it_says() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let mut begin = Opening::new(MARCH, "=1+1".into(), "a \"model\",\nin two lines");
    begin.caller = Some("-bob".into());
    let (entry, _) = ledger.begin(&begin).unwrap();
    ledger
        .end(&Closing::new(entry, MARCH + 1, Outcome::Left))
        .unwrap();
    let mut out = Vec::new();
    write_csv_head(&mut out).unwrap();
    rows(folder.path(), &Query::default(), |row: Row| {
        write_csv(&mut out, &row).is_ok()
    })
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    let (head, row) = text.split_once("\r\n").unwrap();
    assert_eq!(head.split(',').count(), 21);
    assert_eq!(
        row,
        format!(
            "{},{MARCH},{},'=1+1,'-bob,,\"a \"\"model\"\",\nin two lines\",,0,0,true,,,0,,0,0,,0,left,\r\n",
            entry.0,
            MARCH + 1
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Totals, rows and accounts are the same sums, whatever was entered and however often it was opened.
    #[test]
    fn all_sums_agree(
        requests in prop::collection::vec(
            (0_usize..4, 0_usize..3, 0_usize..3, 0_u64..5, 0_u64..1000, 0_u8..8), 1..400,
        ),
    ) {
        let folder = tempdir().unwrap();
        let mut ledger = open(folder.path());
        let callers = ["alice", "bob", "çelik", ""];
        let mut charged = [0_u64; 4];
        for (caller, model, miner, day, charge, what) in requests {
            let at = MARCH + day * DAY;
            let mut begin = opening(callers[caller], at);
            begin.model = ["small", "large", "模型"][model].to_owned();
            let (entry, _) = ledger.begin(&begin).unwrap();
            if what == 0 {
                // Begun, and interrupted.
                drop(ledger);
                ledger = Ledger::open(folder.path(), small()).unwrap();
                continue;
            }
            let mut end = closing(entry, at + 1, charge);
            end.miner = (miner > 0).then(|| NodeId::from(["m0", "m1", "m2"][miner]));
            ledger.end(&end).unwrap();
            charged[caller] += charge;
        }
        for (caller, charged) in callers.iter().zip(charged) {
            let mut asked = Query::default();
            asked.caller = Some((*caller).into());
            asked.by = vec![By::Day, By::Model, By::Miner];
            let quick = query(folder.path(), &asked).unwrap();
            prop_assert_eq!(quick.totals.charge, Micros(charged));
            let of_groups: u64 = quick.groups.iter().map(|(_, totals)| totals.charge.0).sum();
            prop_assert_eq!(of_groups, charged);
            let (mut of_rows, mut count) = (0, 0);
            rows(folder.path(), &asked, |row| {
                of_rows += row.charge.0;
                count += 1;
                true
            }).unwrap();
            prop_assert_eq!((of_rows, count), (charged, quick.totals.requests));
        }
        synapse_validator::ledger::verify(folder.path()).unwrap();
    }
}
