//! Redis, as `scripts/start-redis` starts it.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::part;

/// A Redis of a test's own, on a Unix socket, which it may kill. Dropped, it ends.
#[derive(Debug)]
pub struct OwnRedis {
    home: tempfile::TempDir,
    url: String,
    clock: Option<File>,
}

impl OwnRedis {
    /// Starts one by the machine's clock.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(directory(), None)
    }

    /// Starts one whose clock stands at this time since 1970, until it is set.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start_at(time: Duration) -> Self {
        let home = directory();
        let clock = File::create(home.path().join("clock")).expect("a file for its clock");
        set(&clock, time);
        Self::start_in(home, Some(clock))
    }

    fn start_in(home: tempfile::TempDir, clock: Option<File>) -> Self {
        let mut redis = Self {
            home,
            url: String::new(),
            clock,
        };
        redis.start_again();
        redis
    }

    /// Where it listens, as its clients write it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets its clock.
    ///
    /// # Panics
    /// Where it runs by the machine's.
    pub fn set_clock(&self, time: Duration) {
        set(self.clock.as_ref().expect("a clock of its own"), time);
    }

    /// What it answers to a command of `redis-cli`.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn ask(&self, command: &[&str]) -> String {
        let answer = Command::new("redis-cli")
            .arg("-s")
            .arg(self.home.path().join("redis.sock"))
            .args(command)
            .output()
            .expect("redis-cli comes with Redis");
        assert!(answer.status.success(), "{command:?}: {answer:?}");
        String::from_utf8(answer.stdout).expect("text").trim().to_owned()
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&self) {
        let id = self.id();
        kill_process(id, Signal::KILL).expect("it runs");
        for _ in 0..400 {
            if test_kill_process(id).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Redis outlived SIGKILL");
    }

    /// Lets it stand still.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn freeze(&self) {
        kill_process(self.id(), Signal::STOP).expect("it runs");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn thaw(&self) {
        kill_process(self.id(), Signal::CONT).expect("it runs");
    }

    /// Starts it again, empty.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&mut self) {
        let mut arguments = vec!["--home", text(self.home.path())];
        let clock = self.home.path().join("clock");
        if self.clock.is_some() {
            arguments.extend(["--clock", text(&clock)]);
        }
        self.url = part("start-redis", &arguments);
    }

    fn id(&self) -> Pid {
        let id = std::fs::read_to_string(self.pidfile()).expect("it runs");
        let id: i32 = id.trim().parse().expect("a process id");
        Pid::from_raw(id).expect("not 0")
    }

    fn pidfile(&self) -> PathBuf {
        self.home.path().join("redis.pid")
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        if self.pidfile().exists() {
            // It has nothing to say, and may stand still.
            let _gone = kill_process(self.id(), Signal::KILL);
        }
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory for Redis")
}

fn set(clock: &File, time: Duration) {
    let micros = i64::try_from(time.as_micros()).expect("a time of this age");
    clock
        .write_all_at(&micros.to_ne_bytes(), 0)
        .expect("its clock is set");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}
