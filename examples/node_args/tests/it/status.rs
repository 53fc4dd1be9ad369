//! A status in a file: written while its node runs, told from one that nobody writes any more.

use std::{fs, time::Duration};

use node_args::status::{self, StatusFile, Written, shown};
use serde::{Deserialize, Serialize};
use synapse_core::{Error, Watch};
use tokio::time::timeout;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Epoch {
    epoch: u64,
}

fn read(folder: &tempfile::TempDir) -> Result<Written<Epoch>, Error> {
    status::read(folder.path())
}

#[tokio::test]
async fn what_changes_is_written_and_the_last_word_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = StatusFile::new(folder.path());
    let (sender, status) = Watch::channel(Epoch { epoch: 1 });
    let keeping = tokio::spawn({
        let (file, status) = (file.clone(), status.clone());
        async move { file.keep(status).await }
    });
    until(|| read(&folder).is_ok()).await;
    let first = read(&folder).unwrap();
    assert!(first.running && first.status.epoch == 1 && first.process == std::process::id());
    assert!(first.written_at_ms > 1_700_000_000_000);

    sender.set(Epoch { epoch: 2 });
    until(|| read(&folder).unwrap().status.epoch == 2).await;
    keeping.abort();
    let _ = keeping.await;
    file.end(status.current()).await.unwrap();
    assert!(!read(&folder).unwrap().running);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_file_and_another_one_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&folder).unwrap_err();
    assert_eq!(missing.code(), "no_status");
    for other in [
        "",
        "{}",
        r#"{"written_at_ms":1,"process":1,"running":true,"status":{}}"#,
    ] {
        fs::write(folder.path().join("status.json"), other).unwrap();
        assert_eq!(read(&folder).unwrap_err().code(), "status_unreadable");
    }
}

#[test]
fn lengths_of_time_are_short() {
    let times = [0, 119, 120, 7199, 7200, 172_800].map(|seconds| shown(Duration::from_secs(seconds)));
    assert_eq!(times, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
}

/// Files are written on a thread of their own, which no paused clock waits for.
async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap();
}
