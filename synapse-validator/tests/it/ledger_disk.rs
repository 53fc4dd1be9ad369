//! A disk that is full, and top-ups that another process leaves.

use std::{env, fs, path::Path, process::Command};

use synapse_core::Micros;
use synapse_validator::ledger::{Left, Outcome, leave, left};
use tempfile::tempdir;

use crate::ledger::{MARCH, all, charge, closing, open, opening, top_up, until};

const PLACE: &str = "SYNAPSE_TEST_DISK";
/// Makes a small disk in a namespace that ends with the process.
const MOUNT: &str = r#"mount -t tmpfs -o size=512k none "$SYNAPSE_TEST_DISK" || exit 77; exec "$@""#;

/// Runs `check` in another process, which is this test called anew, on a small disk of its own.
fn on_a_small_disk(test: &str, check: impl FnOnce(&Path)) {
    if let Some(place) = env::var_os(PLACE) {
        check(Path::new(&place));
        return;
    }
    let place = tempdir().unwrap();
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PLACE, place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.code() == Some(77) {
        println!("skipped: this system gives its users no disk of their own: {said}");
        return;
    }
    assert!(
        ran.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&ran.stdout)
    );
}

#[test]
fn on_a_full_disk_requests_are_refused_and_those_under_way_end() {
    on_a_small_disk(
        "ledger_disk::on_a_full_disk_requests_are_refused_and_those_under_way_end",
        |disk| {
            let directory = disk.join("ledger");
            let ledger = open(&directory);
            ledger.top_up(&top_up("first", "alice", 1_000_000)).unwrap();
            fs::write(disk.join("other"), vec![1; 1 << 20]).unwrap_err();
            let mut under_way = Vec::new();
            let refused = loop {
                match ledger.begin(&opening("alice", MARCH)) {
                    Ok((entry, _)) => under_way.push(entry),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.code(), "ledger_unavailable");
            assert!(
                !refused.to_string().contains(disk.to_str().unwrap()),
                "callers read it: {refused}"
            );
            assert!(under_way.len() > 50, "{}", under_way.len());
            for (number, entry) in under_way.iter().enumerate() {
                let mut end = closing(*entry, MARCH, 1);
                // The longest that there are.
                end.miner = Some("m".repeat(1000).into());
                end.outcome = Outcome::Failed("c".repeat(1000));
                end.claimed = Some(synapse_core::Usage {
                    input_tokens: u64::MAX,
                    output_tokens: u64::MAX,
                });
                end.events = u64::MAX;
                ledger
                    .end(&end)
                    .unwrap_or_else(|error| panic!("{number}: {error:?}"));
            }
            ledger.sync().unwrap();
            // With room it goes on by itself.
            fs::remove_file(disk.join("other")).unwrap();
            until(|| ledger.begin(&opening("alice", MARCH)).is_ok());
            drop(ledger);
            let ledger = open(&directory);
            assert_eq!(ledger.recovered().interrupted, 1);
            let account = ledger.account(&"alice".into()).unwrap();
            assert_eq!(account.charged, Micros(under_way.len() as u64));
            assert_eq!(all(&directory).totals.requests, under_way.len() as u64 + 1);
        },
    );
}

#[test]
fn a_running_ledger_takes_in_what_was_left_for_it() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    let paid = top_up("Invoice №7/../../etc", "alice", 70);
    leave(folder.path(), &paid).unwrap();
    until(|| matches!(left(folder.path(), &paid.operation).unwrap(), Left::Done));
    assert_eq!(ledger.balance(&"alice".into()), Some(Micros(70)));
    // Once more, and another of the same name.
    leave(folder.path(), &paid).unwrap();
    until(|| matches!(left(folder.path(), &paid.operation).unwrap(), Left::Done));
    let other = top_up("Invoice №7/../../etc", "alice", 71);
    leave(folder.path(), &other).unwrap();
    until(
        || matches!(left(folder.path(), &other.operation).unwrap(), Left::Refused(why) if why.contains("was entered already")),
    );
    // What is no message harms nobody.
    fs::write(folder.path().join("inbox/junk.json"), b"{").unwrap();
    until(|| folder.path().join("inbox/junk.refused").exists());
    charge(&ledger, "alice", MARCH, 1);
    assert_eq!(ledger.balance(&"alice".into()), Some(Micros(69)));
    drop(ledger);
    // What is left for nobody waits for whoever opens it.
    let later = top_up("later", "alice", 5);
    leave(folder.path(), &later).unwrap();
    assert!(matches!(
        left(folder.path(), &later.operation).unwrap(),
        Left::Waiting
    ));
    let ledger = open(folder.path());
    until(|| ledger.balance(&"alice".into()) == Some(Micros(74)));
}

#[test]
fn what_was_left_first_is_not_lost_to_another_of_its_name() {
    let folder = tempdir().unwrap();
    drop(open(folder.path()));
    let paid = top_up("invoice", "alice", 70);
    leave(folder.path(), &paid).unwrap();
    leave(folder.path(), &paid).unwrap();
    for other in [top_up("invoice", "bob", 70), top_up("invoice", "alice", 71)] {
        let refused = leave(folder.path(), &other).unwrap_err();
        assert_eq!(refused.code(), "ledger_payment_differs");
    }
    let nameless = leave(folder.path(), &top_up("", "alice", 1)).unwrap_err();
    assert_eq!(nameless.code(), "ledger_name_missing");
    let ledger = open(folder.path());
    until(|| ledger.balance(&"alice".into()) == Some(Micros(70)));
    assert_eq!(ledger.balance(&"bob".into()), None);
    drop(ledger);
    assert_eq!(fs::read_dir(folder.path().join("inbox")).unwrap().count(), 0);
}
