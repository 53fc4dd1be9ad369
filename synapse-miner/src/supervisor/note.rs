//! Which process an engine is, for whoever comes after this one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::proc::{self, Stat};

/// How long an engine that is found is given to end by itself.
const GRACE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// The file that says which process an engine is. A process id alone would soon name somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The leader of its process group.
    pid: u32,
    began: u64,
    boot: String,
    /// Who started it.
    keeper: u32,
    keeper_began: u64,
}

/// Where that is noted.
#[derive(Debug, Clone)]
pub(super) struct Note(PathBuf);

/// What was found of an engine that an earlier process started.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// It lived, under this id, and is ended.
    Ended(u32),
    /// It lives, and so does who started it, under this id.
    Kept(u32),
}

impl Note {
    pub(super) fn new(directory: &Path, name: &str) -> Self {
        Self(directory.join(format!("{name}.engine.json")))
    }

    /// Notes that the engine is this process, of which nothing is known but on Linux.
    pub(super) fn write(&self, pid: u32) -> io::Result<()> {
        let keeper = std::process::id();
        let (Some(stat), Some(own), Some(boot)) = (Stat::of(pid), Stat::of(keeper), proc::boot()) else {
            return Ok(());
        };
        let entry = Entry {
            pid,
            began: stat.began,
            boot,
            keeper,
            keeper_began: own.began,
        };
        if let Some(directory) = self.0.parent() {
            fs::create_dir_all(directory)?;
        }
        let aside = self.0.with_extension("new");
        fs::write(&aside, serde_json::to_vec(&entry)?)?;
        fs::rename(aside, &self.0)
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }

    /// Ends the engine of an earlier process, where it lives on without it.
    pub(super) async fn clear(&self) -> Found {
        let Some(entry) = self.read() else {
            return Found::Nothing;
        };
        let lives = |pid, began| Stat::of(pid).is_some_and(|stat| stat.began == began && !stat.is_zombie());
        if lives(entry.keeper, entry.keeper_began) && entry.is_there() {
            return Found::Kept(entry.keeper);
        }
        let found = entry.is_there();
        if found {
            entry.end().await;
        }
        self.remove();
        if found {
            Found::Ended(entry.pid)
        } else {
            Found::Nothing
        }
    }

    fn read(&self) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(&fs::read(&self.0).ok()?).ok()?;
        (Some(&entry.boot) == proc::boot().as_ref() && entry.pid > 1).then_some(entry)
    }
}

impl Entry {
    /// Whether any process of the engine's group lives. As long as one does nobody else gets its number.
    fn is_there(&self) -> bool {
        match Stat::of(self.pid) {
            Some(stat) if stat.began != self.began => false,
            _ => proc::group(self.pid).iter().any(|stat| stat.began >= self.began),
        }
    }

    async fn end(&self) {
        let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let patience = Instant::now() + GRACE;
        let _ = kill_process_group(group, Signal::TERM);
        while self.is_there() && Instant::now() < patience {
            sleep(LOOK).await;
        }
        if self.is_there() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let patience = Instant::now() + GRACE;
        while self.is_there() && Instant::now() < patience {
            sleep(LOOK).await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    #[tokio::test]
    async fn an_engine_that_outlived_its_miner_is_ended_and_nobody_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::new(folder.path(), "engine");
        assert_eq!(note.clear().await, Found::Nothing);
        let mut engine = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        note.write(engine.id()).unwrap();
        let own = std::process::id();
        assert_eq!(
            note.clear().await,
            Found::Kept(own),
            "it is another engine of this process"
        );

        let mut stranger = note.read().unwrap();
        // Whoever had this number before.
        stranger.keeper_began += 1;
        let written = serde_json::to_vec(&stranger).unwrap();
        stranger.began += 1;
        fs::write(&note.0, serde_json::to_vec(&stranger).unwrap()).unwrap();
        assert_eq!(
            note.clear().await,
            Found::Nothing,
            "another process has its number"
        );
        stranger.began -= 1;
        stranger.boot = "another start of the machine".to_owned();
        fs::write(&note.0, serde_json::to_vec(&stranger).unwrap()).unwrap();
        assert_eq!(note.clear().await, Found::Nothing);
        assert!(engine.try_wait().unwrap().is_none(), "it lives");

        fs::write(&note.0, &written).unwrap();
        assert_eq!(note.clear().await, Found::Ended(engine.id()));
        assert!(!engine.wait().unwrap().success());
        assert!(!note.0.exists());
    }

    #[tokio::test]
    async fn the_engine_of_a_miner_that_lives_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::new(folder.path(), "engine");
        let spawn = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (mut engine, mut keeper) = (spawn(), spawn());
        note.write(engine.id()).unwrap();
        let mut entry = note.read().unwrap();
        entry.keeper = keeper.id();
        entry.keeper_began = Stat::of(keeper.id()).unwrap().began;
        fs::write(&note.0, serde_json::to_vec(&entry).unwrap()).unwrap();
        assert_eq!(note.clear().await, Found::Kept(keeper.id()));
        for child in [&mut engine, &mut keeper] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
