//! Room for what the node keeps.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::Check;

const NAME: &str = "disk";

/// Whether the disk below `dir`, which need not be there yet, has `least` bytes free. A disk may take its time to say so.
pub(super) async fn check(dir: PathBuf, least: u64) -> Check {
    let looked = spawn_blocking(move || look(&dir, least)).await;
    looked.unwrap_or_else(|ended| {
        Check::failed(NAME, format!("the disk was not looked at to the end: {ended}"))
    })
}

#[cfg(unix)]
fn look(dir: &Path, least: u64) -> Check {
    let there = dir
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there
    };
    let shown = dir.display();
    let disk = match rustix::fs::statvfs(there) {
        Ok(disk) => disk,
        Err(error) => {
            return Check::failed(NAME, format!("the disk of {shown} cannot be looked at: {error}"))
                .hint("check that the directory's path and permissions are right");
        }
    };
    // What the system keeps for its administrator does not count.
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < least {
        return Check::failed(
            NAME,
            format!(
                "the disk of {shown} has {} free, and {} are wanted",
                size(free),
                size(least)
            ),
        )
        .hint("make room, or keep the node's data on another disk");
    }
    if disk.f_files > 0 && disk.f_favail == 0 {
        return Check::failed(NAME, format!("the disk of {shown} has no room for another file"))
            .hint("remove files: it has bytes left, but no inodes");
    }
    Check::passed(NAME, format!("{} free for {shown}", size(free)))
}

#[cfg(not(unix))]
fn look(dir: &Path, _: u64) -> Check {
    Check::skipped(
        NAME,
        format!(
            "how much is free for {} cannot be asked on this system",
            dir.display()
        ),
    )
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{} KiB", bytes / 1024),
        mib @ 1..1024 => format!("{mib} MiB"),
        mib => format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024),
    }
}
