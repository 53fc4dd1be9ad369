//! What a miner remembers of its registrations, whatever ends it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, DataDir, Error, ErrorKind, NodeId, Retry, Stake, SubnetId};

/// The newest version that this binary knows.
const VERSION: u32 = 1;
const FILE: &str = "state.json";

/// What a miner remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    version: u32,
    subnet: SubnetId,
    node: NodeId,
    /// How often it registered itself, as far as that is known.
    pub(super) registrations: u32,
    /// What that cost.
    pub(super) spent: Stake,
    /// Since when it is a member, where it was when it last looked.
    pub(super) member_since: Option<BlockNumber>,
    /// Whether it ever was one.
    pub(super) was_member: bool,
    /// A registration that was about to be sent, and of which it is not known what became.
    pub(super) intent: Option<Intent>,
}

/// A registration before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intent {
    pub(super) stake: Stake,
    /// The fee and the stake.
    pub(super) cost: Stake,
    /// No earlier block holds it.
    pub(super) after: BlockNumber,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Where it is kept.
#[derive(Debug)]
pub(super) struct State {
    directory: Option<Arc<DataDir>>,
    memory: Memory,
}

impl State {
    /// Reads what is in `directory`; without one, nothing outlives the process.
    pub(super) fn open(
        directory: Option<Arc<DataDir>>,
        subnet: SubnetId,
        node: &NodeId,
    ) -> Result<Self, Error> {
        let fresh = Memory {
            version: VERSION,
            subnet,
            node: node.clone(),
            registrations: 0,
            spent: Stake(0),
            member_since: None,
            was_member: false,
            intent: None,
        };
        let Some(found) = directory.as_ref().map(|found| found.path().join(FILE)) else {
            return Ok(Self {
                directory,
                memory: fresh,
            });
        };
        let memory = match fs::read(&found) {
            Ok(bytes) => read(&found, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh,
            Err(error) => return Err(unreadable(&found, error)),
        };
        if memory.subnet != subnet || memory.node != *node {
            return Err(Error::invalid(
                "state_of_another_node",
                format!(
                    "{} is of {} in subnet {}, and this is {node} in subnet {subnet}",
                    found.display(),
                    memory.node,
                    memory.subnet
                ),
            )
            .with_hint("give each node a data directory of its own"));
        }
        Ok(Self { directory, memory })
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Changes what is remembered. Where it cannot be stored, nothing is changed.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut Memory)) -> Result<(), Error> {
        let mut memory = self.memory.clone();
        change(&mut memory);
        if memory == self.memory {
            return Ok(());
        }
        if let Some(directory) = &self.directory {
            let text = serde_json::to_vec_pretty(&memory).expect("a miner's state has a JSON form");
            replace(directory.clone(), FILE, text, Lasting::Yes).await?;
        }
        self.memory = memory;
        Ok(())
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<Memory, Error> {
    let Versioned { version } = serde_json::from_slice(bytes).map_err(|error| unreadable(path, error))?;
    if version > VERSION {
        return Err(Error::unsupported(
            "state_too_new",
            format!(
                "{} has version {version}, and this program knows versions up to {VERSION}",
                path.display()
            ),
        )
        .with_hint("run the newer program that wrote it"));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal("state_unreadable", format!("{} cannot be read", path.display()))
        .with_retry(Retry::Never)
        .with_hint("restore it from a backup; without it nobody knows what this node paid already")
        .with_source(error)
}

/// Whether a file outlives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Yes,
    No,
}

/// Puts a file in another's place, whole or not at all. The directory stays locked until that is done, even where nobody
/// waits for it any more.
pub(super) async fn replace(
    directory: Arc<DataDir>,
    name: &'static str,
    bytes: Vec<u8>,
    lasting: Lasting,
) -> Result<(), Error> {
    let path = directory.path().join(name);
    let written = tokio::task::spawn_blocking(move || {
        let aside = directory.path().join(format!("{name}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(&bytes)?;
        if lasting == Lasting::Yes {
            file.sync_all()?;
        }
        fs::rename(&aside, directory.path().join(name))?;
        #[cfg(unix)]
        if lasting == Lasting::Yes {
            File::open(directory.path())?.sync_all()?;
        }
        Ok::<_, io::Error>(())
    });
    let written = written.await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    written.map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "state_unwritable",
            format!("{} could not be written", path.display()),
        )
        .with_hint("make room on its disk, and give this user the right to write there")
        .with_source(error)
    })
}
