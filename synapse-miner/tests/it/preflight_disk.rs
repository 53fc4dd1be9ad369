//! A disk that is full, where the system lets a user have one of its own.

use std::{path::Path, process::Command};

use synapse_miner::preflight::Status;

use crate::preflight::{Engine, failed, key, set_up, status, text};

const PLACE: &str = "SYNAPSE_TEST_DISK";
/// Makes the disk in a namespace that ends with the process; 77 says that this system allows none.
const MOUNT: &str = r#"mount -t tmpfs -o size=8m none "$SYNAPSE_TEST_DISK" || exit 77; exec "$@""#;

#[test]
fn a_full_disk() {
    if let Some(place) = std::env::var_os(PLACE) {
        check(Path::new(&place));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "preflight_disk::a_full_disk"])
        .env(PLACE, place.path())
        .output();
    match ran {
        Ok(ran) if ran.status.success() => {}
        Ok(ran) if ran.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&ran.stdout)),
        _ => eprintln!("skipped: this system gives its users no disk of their own"),
    }
}

fn check(place: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let look = || async {
        let preflight = set_up(&key(), Engine::HONEST.start()).await;
        preflight
            .data_dir(place.join("miner"))
            .least_free(1 << 20)
            .run()
            .await
    };
    let report = runtime.block_on(look());
    assert_eq!(status(&report, "disk"), Status::Passed, "{report}");

    let full = std::fs::write(place.join("full"), vec![1; 16 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let report = runtime.block_on(look());
    assert_eq!(failed(&report), ["disk"], "{report}");
    assert!(
        text(&report, "disk").contains("has 0 KiB free, and 1 MiB are wanted"),
        "{report}"
    );
}

#[tokio::test]
async fn a_disk_with_less_room_than_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let preflight = set_up(&key(), Engine::HONEST.start()).await;
    let report = preflight.data_dir(dir.path()).least_free(u64::MAX).run().await;
    assert_eq!(failed(&report), ["disk"], "{report}");
}
