//! The monitor's view of a process in a real cgroup.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use synapse_miner::monitor::{ResourceMonitor, Resources};

const MIB: u64 = 1 << 20;

/// A cgroup with a limit of memory, and a process in it that holds some; both end as it is dropped.
struct Limited {
    dir: PathBuf,
    process: Child,
}

impl Limited {
    /// Takes root, as whoever runs containers has it.
    fn start(limit: u64, held: u64) -> Self {
        let top = Path::new("/sys/fs/cgroup");
        let (memory, file) = match top.join("memory").is_dir() {
            true => (top.join("memory"), "memory.limit_in_bytes"),
            false => (top.to_owned(), "memory.max"),
        };
        let dir = memory.join(format!("synapse-test-{}", std::process::id()));
        let explain = |error| panic!("{} cannot be made: {error}; run this as root", dir.display());
        fs::create_dir(&dir).unwrap_or_else(explain);
        fs::write(dir.join(file), limit.to_string()).expect("a limit");
        // The shell enters the cgroup before it becomes what holds the memory.
        let holds = format!(
            "echo $$ >{}/cgroup.procs && exec python3 -c 'import time; held = b\"x\" * {held}; time.sleep(600)'",
            dir.display()
        );
        let process = Command::new("sh")
            .args(["-c", &holds])
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { dir, process }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // It is busy until the last of its processes is gone.
        for _ in 0..500 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("{} is left behind", self.dir.display());
    }
}

#[test]
fn a_processs_own_limit_is_seen() {
    let limited = Limited::start(256 * MIB, 96 * MIB);
    let monitor = ResourceMonitor::builder()
        .of_process(limited.process.id())
        .every(Duration::from_millis(20))
        .start();
    let began = Instant::now();
    let holds = |now: &Resources| {
        now.memory_total == Some(256 * MIB) && now.memory_available.is_some_and(|bytes| bytes < 160 * MIB)
    };
    while !holds(&monitor.latest()) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            monitor.latest()
        );
        sleep(Duration::from_millis(20));
    }
    let left = monitor.latest().memory_available.expect("it is known");
    assert!(left > 96 * MIB, "{left}");
    // The machine itself has more.
    let machine = ResourceMonitor::builder()
        .every(Duration::from_millis(20))
        .start();
    while machine.latest().memory_total.is_none() {
        assert!(began.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(5));
    }
    assert!(machine.latest().memory_total > Some(256 * MIB));
}
