//! A small disk that a test may fill, where the system lets a user have one.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PLACE: &str = "SYNAPSE_TEST_DISK";
/// Makes the disk in a namespace that ends with the process; 77 says that this system allows none.
const MOUNT: &str = r#"mount -t tmpfs -o size=64k none "$SYNAPSE_TEST_DISK" || exit 77; exec "$@""#;

pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn fill(&self) {
        let full = std::fs::write(self.0.join("full"), vec![1; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}

/// Runs `check` in another process, which is this test called anew, on a disk of its own.
pub(crate) fn with(test: &str, check: impl FnOnce(&Disk)) {
    if let Some(place) = std::env::var_os(PLACE) {
        check(&Disk(place.into()));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(PLACE, place.path())
        .output();
    match ran {
        Ok(ran) if ran.status.success() => {}
        Ok(ran) if ran.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&ran.stdout)),
        _ => eprintln!("skipped: this system gives its users no disk of their own"),
    }
}
