//! A disk that is full, how long it takes, who may read what is on it, and top-ups that another process leaves.

use std::{env, fs, path::Path, process::Command};

use synapse_core::{HealthStatus, MetricsData, Micros};
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
            // With room it goes on by itself, and says so before anybody asks.
            assert_eq!(ledger.health().status(), HealthStatus::Unhealthy);
            fs::remove_file(disk.join("other")).unwrap();
            until(|| ledger.health().status() == HealthStatus::Ready);
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

#[test]
fn a_note_that_would_not_be_shown_as_it_is_is_refused() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    for odd in [
        "\u{202e}71.eciovni",
        "\u{1b}[2J",
        "two\nlines",
        "in\u{200b}voice",
        "\u{2066}x",
    ] {
        let mut paid = top_up("invoice", "alice", 1);
        paid.note = odd.to_owned();
        assert_eq!(
            ledger.top_up(&paid).unwrap_err().code(),
            "ledger_text_odd",
            "{odd:?}"
        );
        let refused = leave(folder.path(), &paid).unwrap_err();
        assert_eq!(refused.code(), "ledger_text_odd", "{odd:?}");
        assert!(!refused.to_string().contains(odd), "{refused}");
    }
    // Nor does one come in by the back door.
    let message = r#"{"operation":"back","at":1,"caller":"alice","amount":1,"note":"\u202e"}"#;
    fs::write(folder.path().join("inbox/back.json"), message).unwrap();
    until(|| folder.path().join("inbox/back.refused").exists());
    let why = fs::read_to_string(folder.path().join("inbox/back.refused")).unwrap();
    assert!(why.contains("U+202E"), "{why}");
    let mut paid = top_up("invoice", "alice", 1);
    paid.note = "Überweisung №7 👩‍💻 तक می‌خواهم".to_owned();
    ledger.top_up(&paid).unwrap();
    assert_eq!(ledger.balance(&"alice".into()), Some(Micros(1)));
}

#[test]
fn the_newest_refusals_are_kept_and_none_keeps_a_message_waiting() {
    let folder = tempdir().unwrap();
    drop(open(folder.path()));
    let inbox = folder.path().join("inbox");
    for number in 0..1_300 {
        let path = inbox.join(format!("{number:04}.refused"));
        fs::write(&path, "no").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number);
        file.set_modified(at).unwrap();
    }
    fs::write(inbox.join("junk.json"), b"{").unwrap();
    let paid = top_up("invoice", "alice", 1);
    leave(folder.path(), &paid).unwrap();
    let ledger = open(folder.path());
    until(|| ledger.balance(&"alice".into()) == Some(Micros(1)));
    until(|| fs::read_dir(&inbox).unwrap().count() == 1_000);
    for (name, is_kept) in [
        ("junk", true),
        ("1299", true),
        ("0301", true),
        ("0300", false),
        ("0000", false),
    ] {
        assert_eq!(
            inbox.join(name).with_extension("refused").exists(),
            is_kept,
            "{name}"
        );
    }
}

#[test]
fn storing_is_timed() {
    let folder = tempdir().unwrap();
    let ledger = open(folder.path());
    for number in 0..20 {
        charge(&ledger, "alice", MARCH + number, 1);
        ledger.sync().unwrap();
    }
    let mut metrics = MetricsData::default();
    ledger.metrics(&mut metrics);
    for name in ["ledger.sync_seconds", "ledger.sync_wait_seconds"] {
        let value = |ending: &str| metrics.get(&format!("{name}_{ending}"), &[]).unwrap();
        let within = |bound: &str| metrics.get(&format!("{name}_bucket"), &[("le", bound)]).unwrap();
        assert!(value("count") >= 20.0, "{metrics:?}");
        assert!(value("sum") > 0.0, "{metrics:?}");
        assert_eq!(within("+Inf"), value("count"));
        assert!(within("0.001") <= within("0.25") && within("0.25") <= within("+Inf"));
    }
    let sum = |name| metrics.get(name, &[]).unwrap();
    assert!(sum("ledger.sync_wait_seconds_sum") > sum("ledger.sync_seconds_sum"));
}

#[cfg(unix)]
#[test]
fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    fn check(folder: &Path) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    let folder = tempdir().unwrap();
    let directory = folder.path().join("ledger");
    let ledger = open(&directory);
    for number in 0..1_000 {
        charge(&ledger, "alice", MARCH + number, 1);
    }
    until(|| directory.join("segments/0000000002.totals").exists());
    drop(ledger);
    leave(&directory, &top_up("invoice", "alice", 1)).unwrap();
    fs::write(directory.join("inbox/junk.json"), b"{").unwrap();
    fs::set_permissions(
        directory.join("inbox/junk.json"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    // A torn tail.
    let newest = fs::read_dir(directory.join("segments")).unwrap();
    let newest = newest.map(|entry| entry.unwrap().path());
    let newest = newest
        .filter(|path| path.extension().unwrap() == "rows")
        .max()
        .unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end..end + 5].copy_from_slice(b"torn!");
    fs::write(&newest, bytes).unwrap();
    let ledger = open(&directory);
    assert_eq!(ledger.recovered().torn_bytes, 5);
    until(|| directory.join("inbox/junk.refused").exists());
    until(|| ledger.balance(&"alice".into()).is_some());
    drop(ledger);
    check(&directory);
}
