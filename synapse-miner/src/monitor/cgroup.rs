//! The limits of the cgroups that a process is in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::mounts::{self, Place};

/// What the tightest of them leave.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// Bytes of memory in all.
    pub(super) memory: Option<u64>,
    /// What of that could still be taken.
    pub(super) memory_left: Option<u64>,
    /// Processors, or parts of one.
    pub(super) cpu_cores: Option<f64>,
    /// Processor time that the cgroup with this limit has used, in seconds.
    pub(super) cpu_seconds: Option<f64>,
}

/// What files of one version are called.
struct Files {
    memory: &'static [&'static str],
    memory_used: &'static str,
    memory_reclaimable: &'static str,
    cpu_limit: fn(&Path) -> Option<f64>,
    cpu_seconds: fn(&Path) -> Option<f64>,
}

const V1: Files = Files {
    memory: &["memory.limit_in_bytes"],
    memory_used: "memory.usage_in_bytes",
    memory_reclaimable: "total_inactive_file",
    cpu_limit: |dir| {
        let quota = number(&dir.join("cpu.cfs_quota_us"))?;
        ratio(quota, number(&dir.join("cpu.cfs_period_us"))?)
    },
    // Where both controllers are mounted together.
    cpu_seconds: |dir| Some(to_f64(number(&dir.join("cpuacct.usage"))?) / 1e9),
};

const V2: Files = Files {
    // Past the second a process is slowed down until it gives memory back.
    memory: &["memory.max", "memory.high"],
    memory_used: "memory.current",
    memory_reclaimable: "inactive_file",
    cpu_limit: |dir| {
        let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        ratio(quota.parse().ok()?, period.parse().ok()?)
    },
    cpu_seconds: |dir| Some(to_f64(field(&dir.join("cpu.stat"), "usage_usec")?) / 1e6),
};

/// The limits of the process whose directory of `/proc` is `own`, in a file system whose root is `root`.
pub(super) fn limits(root: &Path, own: &Path) -> Limits {
    let cgroups = fs::read_to_string(own.join("cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(own.join("mountinfo")).unwrap_or_default();
    let find = |controller: Option<&str>| {
        let place = mounts::find(controller, &cgroups, &mounts)?;
        Some(Place {
            own: rooted(root, &place.own),
            top: rooted(root, &place.top),
        })
    };
    let mut limits = Limits::default();
    // Each controller is in one of the versions.
    if let Some(place) = find(None) {
        limits.memory(&place, &V2);
        limits.processors(&place, &V2);
    }
    if let Some(place) = find(Some("memory")) {
        limits.memory(&place, &V1);
    }
    if let Some(place) = find(Some("cpu")) {
        limits.processors(&place, &V1);
        let used = find(Some("cpuacct")).filter(|_| limits.cpu_cores.is_some());
        let nanos = used.and_then(|place| number(&place.own.join("cpuacct.usage")));
        limits.cpu_seconds = limits.cpu_seconds.or(nanos.map(|nanos| to_f64(nanos) / 1e9));
    }
    limits
}

impl Limits {
    fn memory(&mut self, place: &Place, files: &Files) {
        for dir in levels(place) {
            let limit = files
                .memory
                .iter()
                .filter_map(|file| number(&dir.join(file)))
                .min();
            let Some(limit) = limit else { continue };
            self.memory = Some(self.memory.map_or(limit, |other| other.min(limit)));
            // Pages of files that nobody used lately are given up before anybody is killed.
            let used = number(&dir.join(files.memory_used)).unwrap_or(0);
            let idle = field(&dir.join("memory.stat"), files.memory_reclaimable).unwrap_or(0);
            let left = limit.saturating_sub(used.saturating_sub(idle));
            self.memory_left = Some(self.memory_left.map_or(left, |other| other.min(left)));
        }
    }

    fn processors(&mut self, place: &Place, files: &Files) {
        for dir in levels(place) {
            let Some(cores) = (files.cpu_limit)(&dir) else {
                continue;
            };
            if self.cpu_cores.is_none_or(|other| cores < other) {
                self.cpu_cores = Some(cores);
                self.cpu_seconds = (files.cpu_seconds)(&dir);
            }
        }
    }
}

/// From a cgroup to the outermost one that can be seen.
fn levels(place: &Place) -> impl Iterator<Item = PathBuf> {
    let inside = place
        .own
        .ancestors()
        .take_while(|dir| dir.starts_with(&place.top));
    inside.map(Path::to_owned)
}

/// A path of the system within another root.
fn rooted(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A file that holds one number; `max` and -1 are none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A line `NAME NUMBER` of a file.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

fn ratio(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| to_f64(quota) / to_f64(period))
}

#[expect(clippy::cast_precision_loss, reason = "times need not be exact past 2^53")]
fn to_f64(value: u64) -> f64 {
    value as f64
}
