//! A data directory has one process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use synapse_core::DataDir;

const HOLD: &str = "SYNAPSE_TEST_HOLD_DATA_DIR";

/// Another process that has the directory until it is killed.
struct Holder(Child);

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "data_dir::holds_a_directory_until_it_is_killed",
                "--nocapture",
            ])
            .env(HOLD, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("holding")));
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process's part; by itself it has nothing to hold.
#[test]
fn holds_a_directory_until_it_is_killed() {
    let Some(folder) = std::env::var_os(HOLD) else {
        return;
    };
    let _data = DataDir::open(folder).unwrap();
    println!("holding");
    // Ends too when the first process does.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_second_process_is_refused_and_told_who_has_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::start(folder.path());
    let refused = DataDir::open(folder.path()).unwrap_err();
    assert_eq!(refused.code(), "data_dir_locked");
    let process = format!("is in use by the process {}", holder.0.id());
    assert!(refused.message().contains(&process), "{refused}");
    #[cfg(unix)]
    {
        let system = rustix::system::uname();
        let host = system.nodename().to_str().unwrap();
        assert!(
            refused.message().ends_with(&format!(" on host {host}")),
            "{refused}"
        );
    }
}

#[test]
fn a_killed_process_leaves_the_directory_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut holder = Holder::start(folder.path());
        assert!(DataDir::open(folder.path()).is_err());
        holder.kill();
        let data = DataDir::open(folder.path()).unwrap();
        let pid = fs::read_to_string(data.path().join("lock")).unwrap();
        let process = format!("process {}", std::process::id());
        assert!(pid.starts_with(&process) && pid.ends_with('\n'), "{pid}");
    }
}

#[test]
fn a_dropped_directory_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let data = DataDir::open(&path).unwrap();
    assert_eq!(data.path(), path);
    let again = DataDir::open(&path).unwrap_err();
    assert_eq!(again.code(), "data_dir_locked");
    drop(data);
    DataDir::open(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_directory_stays_locked_though_its_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let _holder = Holder::start(folder.path());
    fs::remove_file(folder.path().join("lock")).unwrap();
    let refused = DataDir::open(folder.path()).unwrap_err();
    assert_eq!(refused.code(), "data_dir_locked");
    assert!(
        refused.message().ends_with("in use by another process"),
        "{refused}"
    );
}

#[cfg(unix)]
#[test]
fn what_a_link_in_the_files_place_leads_to_is_neither_written_nor_shown() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "process of somebody else\n").unwrap();
    let path = folder.path().join("data");
    fs::create_dir(&path).unwrap();
    for name in ["lock", "lock.new"] {
        symlink(&other, path.join(name)).unwrap();
    }
    let _data = DataDir::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "process of somebody else\n");
    let lock = path.join("lock");
    assert!(lock.symlink_metadata().unwrap().is_file());

    fs::remove_file(&lock).unwrap();
    symlink(&other, &lock).unwrap();
    let refused = DataDir::open(&path).unwrap_err();
    assert!(
        refused.message().ends_with("in use by another process"),
        "{refused}"
    );
    fs::remove_file(&lock).unwrap();
    // Nor is what somebody else writes there passed on as it is.
    fs::write(&lock, "process \x1b[2J\n").unwrap();
    let refused = DataDir::open(&path).unwrap_err();
    assert!(
        refused.message().ends_with("in use by another process"),
        "{refused}"
    );
}

#[cfg(unix)]
#[test]
fn a_new_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path().join("new")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data.path()), 0o700);
    assert_eq!(mode(&data.path().join("lock")), 0o600);
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for text in ["one", "another", ""] {
        data.replace("state.json", text.as_bytes()).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("state.json")).unwrap(),
            text
        );
        assert_eq!(names(), ["lock", "state.json"]);
    }
    // Nobody can write where a directory is in the way, and a file that cannot take its place is not left behind.
    fs::create_dir(folder.path().join("state.json.new")).unwrap();
    assert_eq!(
        data.replace("state.json", b"lost").unwrap_err().code(),
        "data_dir_unwritable"
    );
    assert_eq!(fs::read_to_string(folder.path().join("state.json")).unwrap(), "");
    fs::create_dir(folder.path().join("taken")).unwrap();
    assert_eq!(
        data.replace("taken", b"lost").unwrap_err().code(),
        "data_dir_unwritable"
    );
    assert_eq!(names(), ["lock", "state.json", "state.json.new", "taken"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_way_of_a_replacement_leads_nowhere() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "somebody else's").unwrap();
    let data = DataDir::open(folder.path().join("data")).unwrap();
    for name in ["state", "state.new"] {
        symlink(&other, data.path().join(name)).unwrap();
    }
    data.replace("state", b"ours").unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "somebody else's");
    let file = fs::symlink_metadata(data.path().join("state")).unwrap();
    assert!(file.is_file());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(
        DataDir::open(&file).unwrap_err().code(),
        "data_dir_not_a_directory"
    );
    assert_eq!(
        DataDir::open(file.join("in")).unwrap_err().code(),
        "data_dir_not_a_directory"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    // Not even root writes there.
    let refused = DataDir::open("/proc/self").unwrap_err();
    assert_eq!(refused.code(), "data_dir_unwritable");
    assert!(refused.message().contains("/proc/self"), "{refused}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_as_such() {
    crate::full_disk::with("data_dir::a_full_disk_is_named_as_such", |disk| {
        let data = DataDir::open(disk.path()).unwrap();
        data.replace("state", b"kept").unwrap();
        disk.fill();
        let much = vec![0; 1 << 20];
        assert_eq!(data.replace("state", &much).unwrap_err().code(), "data_dir_full");
        assert_eq!(fs::read(disk.path().join("state")).unwrap(), b"kept");
        drop(data);
        assert_eq!(DataDir::open(disk.path()).unwrap_err().code(), "data_dir_full");
    });
}
