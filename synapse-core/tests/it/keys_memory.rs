//! What is left of a secret in a process's memory.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{FileExt as _, PermissionsExt as _},
        process::ExitStatusExt as _,
    },
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use memchr::memmem;
use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, setrlimit};
use synapse_core::keys::{Keystore, Passphrase, Scheme, SecretText, forbid_core_dumps};
use tempfile::TempDir;

const PART: &str = "SYNAPSE_TEST_KEY_PART";
const PASSPHRASE: &[u8] = b"no-other-process-says-this-7d1f";
const PHRASE: &str = "caution juice atom organ advance problem want pledge someone senior holiday very";
/// The phrase's entropy, and the seed that Substrate makes of it.
const ENTROPY: &str = "24af18394e303f56fdbd34cf1875b379";
const SEED: &str = "c8fa03532fb22ee1f7f6908b9c02b4e72483f0dbd66e4cd456b8f34c6230b849";
const SCHEMES: [Scheme; 3] = [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1];

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn secrets() -> [(&'static str, Vec<u8>); 4] {
    [
        ("passphrase", PASSPHRASE.to_vec()),
        ("phrase", PHRASE.as_bytes().to_vec()),
        ("entropy", unhex(ENTROPY)),
        ("seed", unhex(SEED)),
    ]
}

/// A folder with a key of `scheme` and its passphrase's file.
fn folder(scheme: Scheme) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, PASSPHRASE).unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    let passphrase = Passphrase::from_file(&passphrase).unwrap();
    let secret = SecretText::parse(PHRASE).unwrap();
    let keystore = Keystore::open(folder.path().join("keys")).unwrap();
    keystore.import("node", scheme, &secret, &passphrase).unwrap();
    folder
}

/// A process that unlocks the key, signs with it, says so, and drops it when it is told to.
struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    fn start(folder: &Path, part: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "keys_memory::uses_a_key_as_it_is_told_to",
                "--nocapture",
            ])
            .env(PART, part)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(word) {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "it ended before it said {word}"
            );
        }
    }

    fn tell(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// The names of the secrets that are anywhere in what it can write to.
    fn holds(&self) -> Vec<&'static str> {
        let memory = memory(self.child.id());
        let found = secrets()
            .into_iter()
            .filter(|(_, secret)| memory.iter().any(|part| memmem::find(part, secret).is_some()));
        found.map(|(name, _)| name).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn memory(pid: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut parts = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split(' ');
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        if file.read_exact_at(&mut part, from).is_ok() {
            parts.push(part);
        }
    }
    assert!(parts.iter().map(Vec::len).sum::<usize>() > 100_000);
    parts
}

/// The other process's part; by itself it has nothing to do.
#[test]
fn uses_a_key_as_it_is_told_to() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    if part.starts_with("abort") {
        // Whether the system grants it shows in what comes of it.
        let all = Rlimit {
            current: None,
            maximum: None,
        };
        let _ = setrlimit(Resource::Core, all);
    }
    if part == "abort before" {
        std::process::abort();
    }
    if part == "abort after" {
        forbid_core_dumps();
    }
    let keystore = Keystore::open("keys").unwrap();
    let passphrase = Passphrase::from_file("passphrase").unwrap();
    let keys = keystore.unlock("node", &passphrase).unwrap();
    drop(passphrase);
    if part == "abort after" {
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        std::process::abort();
    }
    // No process is told so that did not ask for it; the first one looks on.
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    // What signs covers the traces of what unlocked.
    if part == "sign" {
        let _ = keys.hotkey().sign_now(b"hello");
    }
    let mut lines = std::io::stdin().lines();
    println!("unlocked");
    lines.next();
    drop(keys);
    println!("dropped");
    lines.next();
}

#[test]
fn nothing_of_a_key_is_left_once_it_was_used_and_dropped() {
    for scheme in SCHEMES {
        let folder = folder(scheme);
        for part in ["unlock", "sign"] {
            let mut node = Node::start(folder.path(), part);
            node.wait_for("unlocked");
            // In use it is there, where its scheme keeps the seed itself: the search finds what there is.
            let wanted: &[&str] = if scheme == Scheme::Ed25519 { &["seed"] } else { &[] };
            assert_eq!(node.holds(), wanted, "{part} {scheme}");
            node.tell();
            node.wait_for("dropped");
            assert_eq!(node.holds(), [""; 0], "{part} {scheme}, dropped");
        }
    }
}

#[test]
fn a_process_that_forbade_it_writes_no_core() {
    if !dumps_core("abort before") {
        eprintln!("skipped: this system writes no core of any process");
        return;
    }
    assert!(!dumps_core("abort after"));
}

/// Aborts a process, and says whether the system says that it wrote a core.
fn dumps_core(part: &str) -> bool {
    let folder = folder(Scheme::Ed25519);
    let status = Node::start(folder.path(), part).child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped()
}
