//! Out of memory, in a control group with a limit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::time::Instant;

use crate::watched::{RECOVERY, Watched, llama, tell};

/// A control group of this test's, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    /// With a limit of so many MiB.
    fn with_limit(mebibytes: u64) -> Self {
        let place = Path::new("/sys/fs/cgroup/memory").join(format!("synapse-test-{}", std::process::id()));
        fs::create_dir(&place).expect("a control group of version 1, as root");
        let group = Self(place);
        group.limit(mebibytes);
        group
    }

    fn limit(&self, mebibytes: u64) {
        let bytes = (mebibytes << 20).to_string();
        fs::write(self.0.join("memory.limit_in_bytes"), bytes).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn out_of_memory_is_told_as_what_it_is_and_it_is_back_once_there_is_more() {
    let group = Group::with_limit(48);
    let engine = Watched::start(llama().context(4096).cgroup(&group.0), "smollm2");
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
