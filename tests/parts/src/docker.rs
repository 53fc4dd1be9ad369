//! Docker, and images that are made here.

use std::path::{Path, PathBuf};

use crate::part;

/// Where the Docker that tests share listens, as `DOCKER_HOST` says it. It goes on running.
#[must_use]
pub fn docker() -> String {
    part("start-docker", &[])
}

/// An image for tests, by what `scripts/build-image` calls it: `shout`, `probe`.
#[must_use]
pub fn image(name: &str) -> String {
    part("build-image", &[name])
}

/// A Docker daemon of a test's own, which it may kill. Dropped, it ends, with what ran in it.
#[derive(Debug)]
pub struct OwnDocker {
    home: PathBuf,
    host: String,
}

impl OwnDocker {
    /// Starts one with its files under `home`.
    #[must_use]
    pub fn start(home: &Path) -> Self {
        let text = home.to_str().expect("a path of UTF-8");
        Self {
            host: part("start-docker", &["--home", text]),
            home: home.to_owned(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&self) {
        let id = std::fs::read_to_string(self.home.join("docker.pid")).expect("it runs");
        let id: i32 = id.trim().parse().expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("not 0");
        rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("it runs");
        let gone = || rustix::process::test_kill_process(id).is_err();
        for _ in 0..200 {
            if gone() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("a Docker daemon outlived SIGKILL");
    }

    /// Starts it again, with what it has on its disk.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&mut self) {
        let text = self.home.to_str().expect("a path of UTF-8");
        self.host = part("start-docker", &["--home", text]);
    }
}

impl Drop for OwnDocker {
    fn drop(&mut self) {
        let text = self.home.to_str().expect("a path of UTF-8");
        let _nothing = part("start-docker", &["--home", text, "--stop"]);
    }
}
