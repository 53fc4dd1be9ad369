//! Whether the system killed something for want of memory.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the count of the whole machine is.
const MACHINE: &str = "/proc/vmstat";

/// The system's count of such kills, in an engine's control group, or in the whole machine where it has none of its own.
#[derive(Debug)]
pub(super) struct Kills {
    source: Option<PathBuf>,
    seen: Option<u64>,
}

impl Kills {
    /// From now on, of the group that this process is in.
    pub(super) fn watch(pid: u32) -> Self {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let own = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            match controllers {
                "memory" => Some(
                    Path::new("/sys/fs/cgroup/memory")
                        .join(path)
                        .join("memory.oom_control"),
                ),
                "" => Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events")),
                _ => None,
            }
        });
        // Within a container the path may be one that only its host sees.
        let mut candidates: Vec<PathBuf> = own.collect();
        candidates.push(MACHINE.into());
        let source = candidates.into_iter().find(|path| count(path).is_some());
        let seen = source.as_deref().and_then(count);
        Self { source, seen }
    }

    /// Whether what it counts is of a control group, rather than of the whole machine.
    pub(super) fn is_of_a_group(&self) -> bool {
        self.source.as_deref() != Some(Path::new(MACHINE))
    }

    /// Whether it counted another one since it was last asked.
    pub(super) fn moved(&mut self) -> bool {
        let now = self.source.as_deref().and_then(count);
        let moved = matches!((self.seen, now), (Some(before), Some(now)) if now > before);
        self.seen = now.or(self.seen);
        moved
    }
}

fn count(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

    use super::*;

    #[test]
    fn a_kill_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("memory.events");
        fs::write(&source, "oom 4\noom_kill 2\noom_group_kill 0\n").unwrap();
        let mut kills = Kills {
            seen: count(&source),
            source: Some(source.clone()),
        };
        assert!(!kills.moved());
        fs::write(&source, "oom 5\noom_kill 3\n").unwrap();
        assert!(kills.moved());
        assert!(!kills.moved());
    }
}
