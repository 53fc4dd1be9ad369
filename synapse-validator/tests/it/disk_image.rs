//! An ext4 file system in a file of its own, whose power can be cut: needs root, `mount` and loop devices.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};

const BYTES: u64 = 128 << 20;

/// `EXT4_IOC_SHUTDOWN` without a flush of the journal, as `godown` of xfstests has it: from that moment on the file system
/// gives its device nothing more, and the device's file is what a copy of it at that moment would be. Shortly before, at
/// some cuts, pages are written back in any order, and at some of those another file's `fsync` commits the journal: kernels
/// do both whenever they like. Says when it cut.
const CUT: &str = r#"
import fcntl, os, random, struct, sys, time
root, seed = sys.argv[1], int(sys.argv[2])
device = os.open(root, os.O_RDONLY)
chance = random.Random(seed)
print("ready", flush=True)
sys.stdin.read()
if seed % 2:
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                file = os.open(os.path.join(folder, name), os.O_RDONLY)
            except FileNotFoundError:
                continue
            for at in range(0, os.fstat(file).st_size, 4096):
                if chance.random() < 0.5:
                    os.posix_fadvise(file, at, 4096, os.POSIX_FADV_DONTNEED)
            os.close(file)
if seed % 4 == 3:
    other = os.open(os.path.join(root, "other"), os.O_WRONLY | os.O_CREAT)
    os.write(other, b"x")
    os.fsync(other)
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
now = time.time_ns()
fcntl.ioctl(device, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
print(now)
"#;

/// The file system, mounted while this lives.
pub(crate) struct Image {
    root: PathBuf,
    folder: TempDir,
}

impl Image {
    pub(crate) fn new() -> Self {
        let folder = tempdir().unwrap();
        let root = folder.path().join("mounted");
        std::fs::create_dir(&root).unwrap();
        let image = Self { root, folder };
        let file = File::create(image.file()).unwrap();
        file.set_len(BYTES).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(image.file()));
        image.mount();
        image
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes ready to cut the power.
    pub(crate) fn switch(&self, seed: u64) -> Switch {
        let mut child = Command::new("python3")
            .args(["-c", CUT])
            .arg(&self.root)
            .arg(seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\n");
        Switch(child)
    }

    /// Mounts what the device was given before the cut, as a machine does whose power comes back.
    pub(crate) fn power_on(&self) {
        self.unmount();
        self.mount();
    }

    /// Whether the file system itself came through all of it whole.
    pub(crate) fn check(self) {
        self.unmount();
        run(Command::new("e2fsck").args(["-f", "-n"]).arg(self.file()));
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) {
        // Commits each second what nobody asked to be stored, and not each five: some cuts come after one.
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,commit=1"])
            .arg(self.file())
            .arg(&self.root));
    }

    /// What held a file open is gone in a moment.
    fn unmount(&self) {
        let start = Instant::now();
        loop {
            let ran = Command::new("umount").arg(&self.root).output().unwrap();
            if ran.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&ran.stderr);
            assert!(start.elapsed() < Duration::from_secs(30), "umount: {said}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Where it is not mounted, or a test that fails left a process on it.
        let _ = Command::new("umount")
            .args(["--quiet", "--lazy"])
            .arg(&self.root)
            .output();
    }
}

/// Cuts the power of an [`Image`].
pub(crate) struct Switch(Child);

impl Switch {
    /// Cuts it, and says when: nanoseconds since 1970. Nothing reaches the device after this.
    pub(crate) fn cut(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "the power could not be cut");
        said.trim().parse().unwrap()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {said}");
}
