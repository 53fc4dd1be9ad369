//! One look at everything.

use std::path::{Path, PathBuf};

use super::{Resources, gpu::Gpus, host::Host};

pub(super) struct Sampler {
    host: Host,
    gpus: Gpus,
    disk: Option<PathBuf>,
}

impl Sampler {
    pub(super) fn new(
        root: PathBuf,
        process: Option<u32>,
        disk: Option<PathBuf>,
        gpus: Option<Vec<u32>>,
    ) -> Self {
        Self {
            host: Host::new(root, process),
            gpus: Gpus::of(gpus),
            disk,
        }
    }

    pub(super) fn look(&mut self) -> Resources {
        let mut now = Resources::default();
        self.host.look(&mut now);
        now.disk_available = self.disk.as_deref().and_then(room);
        now.gpus = self.gpus.look();
        now
    }
}

/// Bytes that may still be written to the disk of `path`, or of what there is above it.
#[cfg(unix)]
fn room(path: &Path) -> Option<u64> {
    let disk = path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
    // What the system keeps for its administrator does not count.
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn room(path: &Path) -> Option<u64> {
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let holds = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    let disk = holds.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(disk.available_space())
}
