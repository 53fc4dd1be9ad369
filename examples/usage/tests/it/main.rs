//! The program, over ledgers that a gateway has and over those that none has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{path::Path, process::Command};

use serde_json::Value;
use synapse_core::{Micros, TokenCount};
use synapse_validator::ledger::{Closing, Ledger, Opening, Outcome, Settings};
use tempfile::tempdir;

/// 1 March 2026, 00:00 UTC.
const MARCH: u64 = 1_772_323_200_000;

fn usage(data: &Path, arguments: &[&str]) -> (bool, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_usage"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.success(), text(ran.stdout), text(ran.stderr))
}

fn json(data: &Path, arguments: &[&str]) -> Value {
    let (good, out, error) = usage(data, &[arguments, &["--json"]].concat());
    assert!(good, "{error}");
    serde_json::from_str(&out).unwrap()
}

fn ledger(data: &Path) -> Ledger {
    let ledger = Ledger::open(data.join("ledger"), Settings::default().segment_bytes(1 << 20)).unwrap();
    for (number, (caller, model)) in [("alice", "small"), ("alice", "large"), ("bob", "large")]
        .into_iter()
        .enumerate()
    {
        let at = MARCH + number as u64 * 1000;
        let mut opening = Opening::new(at, format!("r{number}").into(), model);
        opening.caller = Some(caller.into());
        let (entry, _) = ledger.begin(&opening).unwrap();
        let mut closing = Closing::new(entry, at + 500, Outcome::Complete);
        closing.prompt = TokenCount::exact(10);
        closing.completion = TokenCount::approximate(5);
        closing.charge = Micros(1_500_000);
        closing.total_ms = 500;
        ledger.end(&closing).unwrap();
    }
    ledger
}

#[test]
fn it_prints_rows_and_totals_of_a_gateway_that_runs() {
    let data = tempdir().unwrap();
    let _running = ledger(data.path());
    let (good, out, error) = usage(data.path(), &["rows", "--caller", "alice"]);
    assert!(good, "{error}");
    let lines: Vec<_> = out.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[1].starts_with("2026-03-01T00:00:00Z  alice"), "{out}");
    assert!(
        lines[1].contains("~10") && lines[1].contains("1.5") && lines[1].ends_with("complete"),
        "{out}"
    );
    assert!(
        lines[3].starts_with("2 requests, 2 complete") && lines[3].ends_with("3 charged"),
        "{out}"
    );

    let (_, out, _) = usage(data.path(), &["totals", "--by", "caller,model"]);
    let heads: Vec<_> = out
        .lines()
        .map(|line| line.trim().split("  ").next().unwrap())
        .collect();
    assert_eq!(
        heads[1..4],
        ["alice · large", "alice · small", "bob · large"],
        "{out}"
    );
    let (_, out, _) = usage(data.path(), &["totals", "--by", "model", "--csv"]);
    assert_eq!(out.lines().nth(1), Some("large,2,2,0,20,10,3"));
    let (_, out, _) = usage(data.path(), &["rows", "--csv"]);
    assert_eq!(out.lines().count(), 4);

    let value = json(
        data.path(),
        &[
            "totals",
            "--by",
            "day",
            "--from",
            "2026-03-01",
            "--until",
            "2026-03-02",
        ],
    );
    assert_eq!(value["totals"]["charge"], 4_500_000);
    assert_eq!(value["groups"][0]["day"], "2026-03-01");
    assert_eq!(json(data.path(), &["rows", "--limit", "1"])["has_more"], true);
    assert_eq!(json(data.path(), &["verify"])["good"], true);
}

#[test]
fn a_payment_reaches_a_gateway_that_runs_and_one_that_does_not() {
    let data = tempdir().unwrap();
    let running = ledger(data.path());
    let (good, out, error) = usage(
        data.path(),
        &["top-up", "alice", "10.25", "--note", "invoice 1", "--id", "one"],
    );
    assert!(good, "{error}");
    assert_eq!(out, "alice paid in 10.25: payment one\n");
    assert_eq!(running.balance(&"alice".into()), Some(Micros(7_250_000)));
    // Once more, by mistake; and another of the same name.
    assert!(usage(data.path(), &["top-up", "alice", "10.25", "--id", "one"]).0);
    let (good, _, error) = usage(data.path(), &["top-up", "alice", "11", "--id", "one", "--json"]);
    assert!(!good && error.contains("top_up_refused"), "{error}");
    drop(running);
    assert!(usage(data.path(), &["top-up", "alice", "1", "--id", "two"]).0);
    let value = json(data.path(), &["balances"]);
    assert_eq!(value["accounts"][0]["balance"], 8_250_000);
    let (_, out, _) = usage(data.path(), &["balances"]);
    assert_eq!(
        out.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["alice", "11.25", "3", "8.25"]
    );
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let data = tempdir().unwrap();
    for (arguments, code) in [
        (&["totals"][..], "ledger_not_found"),
        (&["balances"], "ledger_not_found"),
        (&["top-up", "alice", "1"], "ledger_not_found"),
        (&["top-up", "alice", "0", "--create"], "invalid_amount"),
        (&["top-up", "", "1", "--create"], "invalid_name"),
        (&["top-up", "alice ", "1", "--create"], "invalid_name"),
        (&["top-up", "al\u{1b}[31mice", "1", "--create"], "invalid_name"),
        (&["top-up", "alice", "1", "--create", "--id", ""], "invalid_name"),
        (&["top-up", "al\u{202e}ice", "1", "--create"], "invalid_name"),
        (
            &["top-up", "alice", "1", "--create", "--note", "\u{202e}00.1"],
            "ledger_text_odd",
        ),
    ] {
        let (good, _, error) = usage(data.path(), &[arguments, &["--json"]].concat());
        assert!(!good && error.contains(code), "{arguments:?}: {error}");
    }
    for arguments in [
        &["top-up", "alice", "1.0000001"][..],
        &["rows", "--from", "yesterday"],
        &["totals", "--by", "mood"],
    ] {
        assert!(!usage(data.path(), arguments).0, "{arguments:?}");
    }
    assert!(usage(data.path(), &["top-up", "alice", "1", "--create"]).0);
    assert_eq!(
        json(data.path(), &["balances"])["accounts"][0]["balance"],
        1_000_000
    );
}

/// A client may ask for any model, and a table is read by people.
#[test]
fn a_name_changes_nothing_of_the_line_that_it_is_in() {
    let data = tempdir().unwrap();
    let running = ledger(data.path());
    let mut opening = Opening::new(MARCH, "r".into(), "\u{202e}llams\u{1b}[2J");
    opening.caller = Some("al\u{2066}ice".into());
    let (entry, _) = running.begin(&opening).unwrap();
    running
        .end(&Closing::new(entry, MARCH, Outcome::Complete))
        .unwrap();
    for arguments in [&["rows"][..], &["totals", "--by", "caller,model"]] {
        let (good, out, _) = usage(data.path(), arguments);
        assert!(
            good && out.contains("llams") && out.contains("al\u{fffd}ice"),
            "{out}"
        );
        assert!(!out.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "{out:?}");
    }
    let (good, _, error) = usage(data.path(), &["top-up", "alice", "1", "--note", "a\u{202e}b"]);
    assert!(
        !good && error.contains("U+202E") && !error.contains('\u{202e}'),
        "{error:?}"
    );
}

/// With blanks before its sign, too: programs leave those out.
#[test]
fn no_field_is_a_formula_for_a_spreadsheet() {
    let data = tempdir().unwrap();
    let running = ledger(data.path());
    let odd = [
        "=1+1",
        " =1+1",
        "\u{a0}\u{3000}+1",
        "  \t-1",
        "\u{feff}@x",
        "\n=x",
        "\u{ff1d}x",
        "\r\r=x",
    ];
    for model in odd {
        let (entry, _) = running.begin(&Opening::new(MARCH, "r".into(), model)).unwrap();
        running
            .end(&Closing::new(entry, MARCH, Outcome::Complete))
            .unwrap();
    }
    for arguments in [&["rows", "--csv"][..], &["totals", "--by", "model", "--csv"]] {
        let (good, out, _) = usage(data.path(), arguments);
        assert!(good);
        for model in odd {
            assert!(out.contains(&format!("'{model}")), "{model:?} in {out:?}");
        }
        assert!(!out.contains("'small"), "{out:?}");
    }
}
