//! What a miner remembers of its registrations, whatever ends it.

use std::{fs, io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, DataDir, Error, NodeId, Retry, Stake, SubnetId};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

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

impl Memory {
    /// It is a member since that block, so what it was about to pay for that is paid.
    pub(super) fn joined(&mut self, since: BlockNumber) {
        // One that was a member already paid nothing: its stake was changed.
        if let Some(intent) = self.intent.take()
            && since >= intent.after
        {
            self.paid(intent.cost);
        }
        self.member_since = Some(since);
        self.was_member = true;
    }

    /// It registered, and that cost so much.
    pub(super) fn paid(&mut self, cost: Stake) {
        self.registrations += 1;
        self.spent.0 = self.spent.0.saturating_add(cost.0);
    }
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
    /// What will be remembered, once it is stored.
    storing: Option<JoinHandle<Result<Memory, Error>>>,
}

impl State {
    /// Reads what is in `directory`; without one, nothing outlives the process.
    pub(super) async fn open(
        directory: Option<Arc<DataDir>>,
        subnet: SubnetId,
        node: NodeId,
    ) -> Result<Self, Error> {
        let opened = spawn_blocking(move || Self::read(directory, subnet, &node));
        opened.await.unwrap_or_else(|ended| Err(broken_off(ended)))
    }

    fn read(directory: Option<Arc<DataDir>>, subnet: SubnetId, node: &NodeId) -> Result<Self, Error> {
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
            return Ok(Self::new(directory, fresh));
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
        Ok(Self::new(directory, memory))
    }

    fn new(directory: Option<Arc<DataDir>>, memory: Memory) -> Self {
        Self {
            directory,
            memory,
            storing: None,
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Changes what is remembered. Where it cannot be stored, nothing is changed. Cancel safe: what is on its way to the disk
    /// gets there, the directory stays locked until then, and the next change is one of that.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut Memory)) -> Result<(), Error> {
        // Whoever wanted the last one stored has gone, and did nothing where it was not.
        let _ = self.stored().await;
        let mut memory = self.memory.clone();
        change(&mut memory);
        if memory == self.memory {
            return Ok(());
        }
        let Some(directory) = self.directory.clone() else {
            self.memory = memory;
            return Ok(());
        };
        self.storing = Some(spawn_blocking(move || {
            let text = serde_json::to_vec_pretty(&memory).expect("a miner's state has a JSON form");
            directory.replace(FILE, &text).map(|()| memory)
        }));
        self.stored().await
    }

    /// Waits until what is on its way to the disk is there, and remembered. Cancel safe.
    pub(super) async fn stored(&mut self) -> Result<(), Error> {
        let Some(storing) = &mut self.storing else {
            return Ok(());
        };
        let stored = storing.await.unwrap_or_else(|ended| Err(broken_off(ended)));
        self.storing = None;
        self.memory = stored?;
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

fn broken_off(ended: JoinError) -> Error {
    Error::internal(
        "state_broken_off",
        "what a miner remembers was not read or stored to the end",
    )
    .with_source(ended)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_part_of_the_next_change() {
        let data = tempfile::tempdir().unwrap();
        let directory = Arc::new(DataDir::open(data.path()).unwrap());
        let open = || State::open(Some(directory.clone()), SubnetId(7), "miner".into());
        let mut state = open().await.unwrap();
        let gone = state.change(|memory| memory.paid(Stake(5))).now_or_never();
        assert!(gone.is_none(), "it is on its way to the disk");
        state.change(|memory| memory.was_member = true).await.unwrap();
        let kept = state.memory().clone();
        assert_eq!(
            (kept.registrations, kept.spent, kept.was_member),
            (1, Stake(5), true)
        );
        assert_eq!(*open().await.unwrap().memory(), kept);
    }
}
