//! This machine, and machines made of files.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use synapse_core::{Attached as _, MetricsData};
use synapse_miner::monitor::{ResourceMonitor, Resources};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Writes files below a directory, with the directories that they are in.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A machine with 16 GiB, 10 of them available, and four processors, of which a process may use three.
fn machine(cgroup: &str, mounts: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &[
            (
                "proc/meminfo",
                "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   10485760 kB\n",
            ),
            (
                "proc/stat",
                "cpu  100 0 0 300 0 0 0 0\ncpu0 25 0 0 75 0\ncpu1 25 0 0 75 0\ncpu2 25 0 0 75 0\ncpu3 25 0 0 75 0\nintr 1\n",
            ),
            (
                "proc/self/status",
                "Name:\tminer\nCpus_allowed:\t7\nCpus_allowed_list:\t0-1,3\n",
            ),
            ("proc/self/cgroup", cgroup),
            ("proc/self/mountinfo", mounts),
        ],
    );
    root
}

fn first_look(root: &Path) -> Resources {
    let monitor = ResourceMonitor::builder()
        .root(root)
        .every(Duration::from_millis(10))
        .start();
    seen(&monitor, |now| now.memory_total.is_some())
}

/// What it sees once it sees this.
fn seen(monitor: &ResourceMonitor, enough: impl Fn(&Resources) -> bool) -> Resources {
    let began = Instant::now();
    loop {
        let now = monitor.latest();
        if enough(&now) {
            return now;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{now:?}");
        sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_limits_the_machine_counts() {
    let root = machine("0::/", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let now = first_look(root.path());
    assert_eq!(now.cpu_cores, Some(3.0));
    assert_eq!(
        (now.memory_total, now.memory_available),
        (Some(16 * GIB), Some(10 * GIB))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_tightest_of_nested_cgroups_counts() {
    let mounts = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let root = machine("0::/pod/engine\n", mounts);
    write(
        root.path(),
        &[
            // The pod has 2 GiB, of which 1.5 are used, half a GiB of that by files nobody read lately.
            ("sys/fs/cgroup/pod/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/pod/memory.current", "1610612736\n"),
            (
                "sys/fs/cgroup/pod/memory.stat",
                "anon 1073741824\ninactive_file 536870912\nactive_file 0\n",
            ),
            ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/pod/cpu.stat", "usage_usec 1000000\n"),
            // The engine within has 4 GiB, so that the pod's limit comes first.
            ("sys/fs/cgroup/pod/engine/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/pod/engine/memory.high", "max\n"),
            ("sys/fs/cgroup/pod/engine/memory.current", "536870912\n"),
            ("sys/fs/cgroup/pod/engine/memory.stat", "inactive_file 0\n"),
            ("sys/fs/cgroup/pod/engine/cpu.max", "max 100000\n"),
        ],
    );
    let now = first_look(root.path());
    assert_eq!(
        (now.memory_total, now.memory_available),
        (Some(2 * GIB), Some(GIB))
    );
    assert_eq!(now.cpu_cores, Some(1.5));
}

#[cfg(target_os = "linux")]
#[test]
fn version_1_counts_alike_and_its_unlimited_is_none() {
    let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
        36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    let root = machine("4:memory:/docker/abc/x\n3:cpu,cpuacct:/docker/abc\n", mounts);
    write(
        root.path(),
        &[
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "8589934592\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "805306368\n"),
            (
                "sys/fs/cgroup/memory/x/memory.stat",
                "inactive_file 1\ntotal_inactive_file 268435456\n",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "50000\n"),
            (
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us",
                "100000\n",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
        ],
    );
    let now = first_look(root.path());
    assert_eq!(
        (now.memory_total, now.memory_available),
        (Some(GIB), Some(512 * MIB))
    );
    assert_eq!(now.cpu_cores, Some(0.5));
    fs::write(
        root.path().join("sys/fs/cgroup/memory/x/memory.limit_in_bytes"),
        "9223372036854771712\n",
    )
    .unwrap();
    let now = first_look(root.path());
    assert_eq!(
        (now.memory_total, now.memory_available),
        (Some(16 * GIB), Some(10 * GIB))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn load_is_of_the_processors_that_may_be_used() {
    let root = machine("0::/", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let monitor = ResourceMonitor::builder()
        .root(root.path())
        .every(Duration::from_millis(10))
        .start();
    assert_eq!(seen(&monitor, |now| now.cpu_cores.is_some()).cpu_load, None);
    // Processors 0, 1 and 3 did 60 ticks of 120; processor 2, which is another's, did all of its own.
    fs::write(
        root.path().join("proc/stat.new"),
        "cpu  0\ncpu0 65 0 0 75 0\ncpu1 25 0 0 115 0\ncpu2 125 0 0 75 0\ncpu3 45 0 0 95 0\n",
    )
    .unwrap();
    fs::rename(root.path().join("proc/stat.new"), root.path().join("proc/stat")).unwrap();
    let now = seen(&monitor, |now| now.cpu_load.is_some());
    assert_eq!(now.cpu_load, Some(0.5));
}

#[test]
fn this_machine_is_seen() {
    let monitor = ResourceMonitor::builder()
        .every(Duration::from_millis(50))
        .watching_disk("/")
        .start();
    let now = seen(&monitor, |now| now.cpu_load.is_some());
    assert!(now.cpu_cores.unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&now.cpu_load.unwrap()));
    assert!(now.memory_available.unwrap() <= now.memory_total.unwrap());
    assert!(now.memory_available.unwrap() > 0);
    assert!(now.disk_available.unwrap() > 0);
    assert!(monitor.age().unwrap() < Duration::from_secs(30));

    let health = monitor.health();
    let capacity = health.capacity().unwrap();
    assert!(capacity.memory_free.unwrap() > 0);
    // It knows nothing of places, and narrows none.
    assert_eq!(capacity.slots, None);
    let mut metrics = MetricsData::default();
    monitor.metrics(&mut metrics);
    for name in [
        "host.cpu_cores",
        "host.cpu_load",
        "host.memory_available_bytes",
        "host.disk_available_bytes",
    ] {
        assert!(metrics.get(name, &[]).is_some(), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_clone_ends_it() {
    let root = machine("0::/", "");
    let monitor = ResourceMonitor::builder()
        .root(root.path())
        .every(Duration::from_secs(3600))
        .start();
    let other = monitor.clone();
    seen(&monitor, |now| now.memory_total.is_some());
    let looking = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.trim() == "resources").count()
    };
    // Other tests have theirs: of this one it is known that it would not wake for an hour.
    drop(monitor);
    assert!(looking() >= 1);
    assert_eq!(other.latest().memory_total, Some(16 * GIB));
    drop(other);
    let began = Instant::now();
    while looking() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} threads still look",
            looking()
        );
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_fixed_one_says_what_it_was_told() {
    let mut known = Resources::default();
    known.memory_available = Some(7);
    let monitor = ResourceMonitor::fixed(known.clone());
    assert_eq!(monitor.latest(), known);
    assert_eq!(monitor.age(), None);
    assert_eq!(monitor.health().capacity().unwrap().memory_free, Some(7));
    assert!(
        ResourceMonitor::fixed(Resources::default())
            .health()
            .capacity()
            .is_none()
    );
}
