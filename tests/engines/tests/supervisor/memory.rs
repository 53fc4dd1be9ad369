//! Out of memory, in a control group with a limit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::time::Instant;

use crate::watched::{RECOVERY, Watched, llama, tell};

/// A control group of this test's, removed when it is dropped.
pub(crate) struct Group(PathBuf);

impl Group {
    /// With a limit of so many MiB.
    pub(crate) fn with_limit(name: &str, mebibytes: u64) -> Self {
        let name = format!("synapse-test-{name}-{}", std::process::id());
        let place = Path::new("/sys/fs/cgroup/memory").join(name);
        fs::create_dir(&place).expect("a control group of version 1, as root");
        let group = Self(place);
        group.limit(mebibytes);
        group
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn limit(&self, mebibytes: u64) {
        self.set(mebibytes << 20).unwrap();
    }

    /// Takes away what it could do without. The system refuses a limit below what cannot be taken away.
    pub(crate) fn tighten(&self) {
        let used = fs::read_to_string(self.0.join("memory.usage_in_bytes")).unwrap();
        let mut limit: u64 = used.trim().parse().unwrap();
        while limit > 0 && self.set(limit).is_ok() {
            limit = limit.saturating_sub(256 << 10);
        }
    }

    fn set(&self, bytes: u64) -> std::io::Result<()> {
        fs::write(self.0.join("memory.limit_in_bytes"), bytes.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn out_of_memory_is_told_as_what_it_is_and_it_is_back_once_there_is_more() {
    let group = Group::with_limit("load", 48);
    let engine = Watched::start(llama().context(4096).cgroup(group.path()), "smollm2");
    engine
        .until("out of memory", |status| status.out_of_memory > 0)
        .await;
    let more = Instant::now();
    group.limit(2048);
    engine.answers_again().await;
    let gone = more.elapsed();
    tell("llama-server out of memory (48 MiB), once there was more", gone);
    assert!(gone < RECOVERY + engine.status().starting.unwrap(), "{gone:?}");
    let said = engine.said("engine_out_of_memory");
    assert!(
        said[0].contains("ran out of memory; give it more memory"),
        "{said:?}"
    );
    engine.end().await;
}
