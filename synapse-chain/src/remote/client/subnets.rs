//! Subnets, followed for as long as somebody cares.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use synapse_core::{
    BlockNumber, Directory, Epoch, EpochId, Error, Phase, SubnetId, SubnetParams, Watch, WatchSender,
};
use tokio::sync::watch;

use super::{follow::follow, link::Link};
use crate::{backend::Followed, remote::wire::Changes};

/// The subnets that are followed, each by a task of its own that ends with the last watch.
#[derive(Debug, Default)]
pub(super) struct Subnets(Mutex<BTreeMap<SubnetId, Arc<Known>>>);

/// What is known of a subnet; nothing at first.
#[derive(Debug)]
pub(super) struct Known {
    directory: WatchSender<Directory>,
    params: WatchSender<SubnetParams>,
    epochs: WatchSender<Epoch>,
    progress: watch::Sender<Progress>,
}

/// How far a follower came.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// The chain was not reached yet, for this reason.
    Waiting(Option<Error>),
    /// Everything is known, as it is now or was when the chain was last reached.
    Synced,
}

impl Subnets {
    /// What `watch` takes of a subnet, which is followed from now on.
    pub(super) fn watch<T>(
        self: &Arc<Self>,
        link: &Arc<Link>,
        id: SubnetId,
        watch: impl FnOnce(&Known) -> T,
    ) -> T {
        let mut known = self.0.lock().expect(UNPOISONED);
        let subnet = known.entry(id).or_insert_with(|| {
            let subnet = Arc::new(Known::new());
            tokio::spawn(keep(self.clone(), link.clone(), id, subnet.clone()));
            subnet
        });
        watch(subnet)
    }

    /// Waits until nobody watches a subnet, and forgets it.
    async fn forget(&self, id: SubnetId, subnet: &Known) {
        loop {
            subnet.unfollowed().await;
            let mut known = self.0.lock().expect(UNPOISONED);
            // Whoever comes takes the lock first.
            if !subnet.is_followed() {
                known.remove(&id);
                return;
            }
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds the subnets";

/// Follows a subnet as long as somebody watches it.
async fn keep(subnets: Arc<Subnets>, link: Arc<Link>, id: SubnetId, subnet: Arc<Known>) {
    let path = format!("/v1/follow/{id}");
    tokio::select! {
        never = follow(&link, &path, Some(&subnet)) => match never {},
        () = subnets.forget(id, &subnet) => {}
    }
}

impl Known {
    fn new() -> Self {
        let block = BlockNumber(0);
        Self {
            directory: Watch::channel(Directory::default()).0,
            params: Watch::channel(SubnetParams::default()).0,
            epochs: Watch::channel(Epoch::new(EpochId(0), Phase::Serving, block, block)).0,
            progress: watch::Sender::new(Progress::Waiting(None)),
        }
    }

    pub(super) fn followed(&self) -> Followed {
        Followed {
            directory: self.directory.follow(),
            params: self.params.follow(),
            epochs: self.epochs.follow(),
        }
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn is_followed(&self) -> bool {
        self.directory.is_followed()
            || self.params.is_followed()
            || self.epochs.is_followed()
            || !self.progress.is_closed()
    }

    async fn unfollowed(&self) {
        self.directory.closed().await;
        self.params.closed().await;
        self.epochs.closed().await;
        self.progress.closed().await;
    }

    pub(super) fn take(&self, changes: Changes) {
        // Only what differs is told: a connection that comes back is no news.
        fn set<T: PartialEq>(watch: &WatchSender<T>, value: Option<T>) {
            if let Some(value) = value
                && *watch.current() != value
            {
                watch.set(value);
            }
        }
        set(&self.params, changes.params);
        set(&self.directory, changes.directory.map(Directory::from));
        set(&self.epochs, changes.epoch);
        self.progress.send_if_modified(|progress| {
            let news = !matches!(progress, Progress::Synced);
            *progress = Progress::Synced;
            news
        });
    }

    pub(super) fn missed(&self, error: Error) {
        self.progress.send_if_modified(|progress| {
            let waiting = matches!(progress, Progress::Waiting(_));
            if waiting {
                *progress = Progress::Waiting(Some(error));
            }
            waiting
        });
    }
}
