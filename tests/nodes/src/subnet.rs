//! A subnet whose nodes are processes.

use std::{
    fs, net::TcpListener, os::unix::fs::PermissionsExt, path::PathBuf, process::Output, time::Duration,
};

use synapse_core::keys::{Keystore, Passphrase, Scheme, WordCount};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Process, program, said};

const PASSPHRASE: &str = "correct horse battery staple";

/// A subnet whose nodes are processes, each with a key of its own in one keystore. Nothing runs before it is started.
#[derive(Debug)]
pub struct Subnet {
    folder: TempDir,
    keystore: Keystore,
    chain: String,
}

impl Subnet {
    /// A subnet whose chain will be at an address that is free now.
    ///
    /// # Panics
    /// Where there can be no temporary directory, or no port is free.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).expect("a directory of our own can be written");
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        Self {
            keystore: Keystore::open(folder.path().join("keys")).expect("a keystore may be new"),
            folder,
            chain: free_address(),
        }
    }

    /// Makes a key, and returns its address: the node's name.
    ///
    /// # Panics
    /// Where there is one of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        let passphrase = Passphrase::new(PASSPHRASE).expect("it is not empty");
        self.keystore
            .create(name, Scheme::Sr25519, WordCount::Twelve, &passphrase)
            .expect("a name that was not used yet");
        let key = self.keystore.show(name).expect("it was made just now");
        key.address().to_string()
    }

    /// The chain, with ten blocks a second and a faucet.
    #[must_use]
    pub fn chain(&self) -> Process {
        self.chain_with_blocks_of(Duration::from_millis(100))
    }

    /// The same with another time between blocks.
    #[must_use]
    pub fn chain_with_blocks_of(&self, time: Duration) -> Process {
        Process::new("devchain")
            .arg("run")
            .with_data_dir()
            .arg(format!("--listen={}", self.chain))
            .arg(format!("--block-time={}ms", time.as_millis()))
            .arg("--faucet=1000000")
    }

    /// A validator that stays at the same address when it is started again.
    #[must_use]
    pub fn validator(&self, key: &str) -> Process {
        self.node("validator", key)
            .arg(format!("--listen={}", free_address()))
            .arg("--allow-loopback")
    }

    /// A miner with the custom module, which says a word `times` over, one each `pause_ms`.
    #[must_use]
    pub fn miner(&self, key: &str, times: u32, pause_ms: u64) -> Process {
        self.miner_of(key)
            .arg("--listen=127.0.0.1:0")
            .arg("--parallel=64")
            .arg("--custom")
            .arg(format!("--times={times}"))
            .arg(format!("--pause-ms={pause_ms}"))
    }

    /// A miner that is still to be told where to listen, and its engine.
    #[must_use]
    pub fn miner_of(&self, key: &str) -> Process {
        self.node("miner", key).arg("--allow-loopback")
    }

    fn node(&self, program: &'static str, key: &str) -> Process {
        self.key_arguments(key)
            .into_iter()
            .fold(Process::new(program).with_data_dir(), Process::arg)
    }

    fn key_arguments(&self, key: &str) -> [String; 4] {
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        [
            format!("--chain=http://{}", self.chain),
            format!("--keys={}", path("keys").display()),
            format!("--passphrase-file={}", path("passphrase").display()),
            format!("--key={key}"),
        ]
    }

    /// What a program says that is told the chain and this key, answers and ends.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn run(&self, program: &str, key: &str, arguments: &[&str]) -> Output {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        said(program, arguments.chain(self.key_arguments(key))).await
    }

    /// Makes the node with this key a member, and waits until it is.
    ///
    /// # Panics
    /// Where it does not become one.
    pub async fn register(&self, key: &str, role: &str) {
        let done = Command::new(program("register"))
            .args(self.key_arguments(key))
            .args(["--role", role, "--stake", "100", "--faucet", "--json"])
            .output()
            .await
            .expect("the program can be started");
        assert!(
            done.status.success(),
            "{key} is not registered:\n{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Default for Subnet {
    fn default() -> Self {
        Self::new()
    }
}

/// An address of loopback that nobody listens on. Somebody else may take it before it is used, which is rare: the
/// system hands ports out in turn.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it listens").to_string()
}
