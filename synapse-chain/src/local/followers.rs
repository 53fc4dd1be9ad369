//! Those who follow a subnet, told once a block.

use std::collections::{BTreeMap, BTreeSet};

use synapse_core::{BlockNumber, Directory, Epoch, SubnetId, SubnetParams, Watch, WatchSender};

use super::{rhythm, state::State};
use crate::backend::Followed;

/// The subnets' followers.
#[derive(Debug, Default)]
pub(super) struct Followers(BTreeMap<SubnetId, Channels>);

#[derive(Debug)]
struct Channels {
    directory: WatchSender<Directory>,
    epochs: WatchSender<Epoch>,
    params: WatchSender<SubnetParams>,
    /// Whether the chain has such a subnet, or somebody waits for it.
    exists: bool,
}

impl Followers {
    pub(super) fn of(&self, subnet: SubnetId) -> Option<Followed> {
        self.0
            .get(&subnet)
            .filter(|channels| channels.exists)
            .map(Channels::follow)
    }

    /// Follows a subnet that may be started later.
    pub(super) fn of_any(&mut self, subnet: SubnetId) -> Followed {
        self.0.entry(subnet).or_insert_with(Channels::new).follow()
    }

    pub(super) fn subnets(&self) -> Vec<SubnetId> {
        let existing = self.0.iter().filter(|(_, channels)| channels.exists);
        existing.map(|(id, _)| *id).collect()
    }

    /// Tells what a committed block changed: the directories of these subnets, and the epochs of all.
    pub(super) fn tell(&mut self, state: &State, changed: &BTreeSet<SubnetId>, block: BlockNumber) {
        for (id, record) in state.subnets.committed_run(SubnetId(0), |_| true) {
            let channels = self.0.entry(*id).or_insert_with(Channels::new);
            let is_new = !std::mem::replace(&mut channels.exists, true);
            if is_new {
                channels.params.set(record.params.clone());
            }
            if is_new || changed.contains(id) {
                channels
                    .directory
                    .set(Directory::new(state.directory(*id).cloned(), block));
            }
            let epoch = rhythm::epoch_at(block, &record.params);
            if *channels.epochs.current() != epoch {
                channels.epochs.set(epoch);
            }
        }
    }
}

impl Channels {
    fn new() -> Self {
        let params = SubnetParams::default();
        Self {
            directory: Watch::channel(Directory::default()).0,
            epochs: Watch::channel(rhythm::epoch_at(BlockNumber(0), &params)).0,
            params: Watch::channel(params).0,
            exists: false,
        }
    }

    fn follow(&self) -> Followed {
        Followed {
            directory: self.directory.follow(),
            params: self.params.follow(),
            epochs: self.epochs.follow(),
        }
    }
}
