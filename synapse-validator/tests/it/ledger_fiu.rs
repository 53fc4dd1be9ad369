//! A system whose `fdatasync` fails now and then, by libfiu: run by `scripts/check-disk-faults`, which installs it.

use std::{env, path::Path, process::Command};

use synapse_core::Micros;
use synapse_validator::ledger::{Ledger, verify};
use tempfile::tempdir;
use tokio::runtime::Builder;

use crate::ledger::{MARCH, all, closing, open, opening, small};

const PLACE: &str = "SYNAPSE_TEST_FIU";
const TEST: &str = "ledger_fiu::what_was_acknowledged_is_there_after_the_disk_failed_to_store";

#[test]
#[ignore = "needs fiu-run: scripts/check-disk-faults runs it"]
fn what_was_acknowledged_is_there_after_the_disk_failed_to_store() {
    if let Some(place) = env::var_os(PLACE) {
        work(Path::new(&place));
        return;
    }
    let folder = tempdir().unwrap();
    drop(open(folder.path()));
    let (mut acknowledged, mut failed) = (0, 0);
    for round in 0..20 {
        let ran = Command::new("fiu-run")
            .args([
                "-x",
                "-c",
                "enable_random name=posix/io/sync/fdatasync,probability=0.03",
            ])
            .arg(env::current_exe().unwrap())
            .args(["--exact", TEST, "--ignored", "--nocapture", "--test-threads=1"])
            .env(PLACE, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success(),
            "round {round}: {said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        acknowledged += said.matches("\nstored").count() as u64;
        failed += said.matches("\nunavailable").count();
        let ledger = open(folder.path());
        assert_eq!(ledger.recovered().notes, Vec::<String>::new());
        drop(ledger);
        verify(folder.path()).unwrap();
        let charged = all(folder.path()).totals.charge;
        assert!(charged >= Micros(acknowledged), "{charged} of {acknowledged}");
    }
    println!("{acknowledged} rows were acknowledged; the disk failed in {failed} of 20 rounds");
    assert!(
        failed > 5 && acknowledged > 20,
        "{failed} failed, {acknowledged} acknowledged"
    );
}

/// Works until the disk fails, and sees that nothing is taken after that.
fn work(directory: &Path) {
    let ledger = match Ledger::open(directory, small()) {
        Ok(ledger) => ledger,
        Err(error) => {
            assert_eq!(error.code(), "ledger_disk");
            println!("\nunavailable: {error}");
            return;
        }
    };
    let runtime = Builder::new_current_thread().build().unwrap();
    for at in MARCH.. {
        // Where a new segment cannot be stored another is made, and the request may come again.
        let Ok((entry, _)) = ledger.begin(&opening("alice", at)) else {
            continue;
        };
        let Ok(end) = ledger.end(&closing(entry, at, 1)) else {
            continue;
        };
        match runtime.block_on(ledger.durable(end)) {
            Ok(()) => println!("\nstored {}", entry.0),
            Err(error) => {
                assert_eq!(error.code(), "ledger_unavailable");
                println!("\nunavailable: {error}");
                break;
            }
        }
    }
    for _ in 0..10 {
        assert_eq!(
            ledger.begin(&opening("alice", MARCH)).unwrap_err().code(),
            "ledger_unavailable"
        );
    }
}
