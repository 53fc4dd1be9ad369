//! Following the directory: who joins is connected, who leaves is let go.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use synapse_core::{Connect, Directory, Endpoint, Error, InferenceModule, Member, NodeId, Watch};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{balance::Balance, miner::Miner, tend::Care};

/// The task that follows the directory, and the way to end it. Dropped, it ends at once and takes its own tasks along.
#[derive(Debug)]
pub(super) struct Follower {
    stop: watch::Sender<bool>,
    settled: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Follower {
    pub(super) fn start(
        directory: Watch<Directory>,
        connect: Arc<dyn Connect>,
        balance: Arc<dyn Balance>,
        care: Care,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (settle, settled) = watch::channel(false);
        let follow = Follow {
            directory,
            connect,
            balance,
            care: Arc::new(care),
            unreachable: HashMap::new(),
            settle,
            tasks: JoinSet::new(),
        };
        Self {
            stop,
            settled,
            task: tokio::spawn(follow.run(stopped)),
        }
    }

    /// Follows whether every member of the first directory was tried.
    pub(super) fn settled(&self) -> watch::Receiver<bool> {
        self.settled.clone()
    }

    /// Whether it was told to end.
    pub(super) fn is_ending(&self) -> bool {
        *self.stop.borrow()
    }

    /// Lets every member go, and waits until that is done. Cancel safe.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        (&mut self.task).await.map_err(|error| {
            Error::internal("pool_task_failed", "the task that follows the directory failed")
                .with_source(error)
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follow {
    directory: Watch<Directory>,
    connect: Arc<dyn Connect>,
    balance: Arc<dyn Balance>,
    care: Arc<Care>,
    /// Who could not be connected, and where.
    unreachable: HashMap<NodeId, Option<Endpoint>>,
    settle: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Follow {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (mut changes, mut seen) = (true, false);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                next = self.directory.next(), if changes => {
                    let Some(directory) = next else {
                        changes = false;
                        continue;
                    };
                    seen = true;
                    if self.reconcile(&directory) {
                        self.care.roster.refresh();
                    }
                }
                () = self.care.roster.changed() => self.care.roster.refresh(),
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task that looks after a miner failed");
                    }
                    continue;
                }
            }
            if seen && self.care.roster.members().values().all(|miner| miner.was_tried()) {
                self.settle.send_replace(true);
            }
        }
        self.reconcile(&Directory::default());
        self.care.roster.refresh();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Connects who is new, lets go who is gone or moved. Says whether anything changed.
    fn reconcile(&mut self, directory: &Directory) -> bool {
        let roster = self.care.roster.clone();
        let mut members = roster.members();
        let listed: HashSet<_> = directory.miners().map(|member| &member.node).collect();
        let before = members.len();
        members.retain(|node, miner| {
            let stays = listed.contains(node);
            if !stays {
                miner.leave();
            }
            stays
        });
        let mut changed = members.len() != before;
        self.unreachable.retain(|node, _| listed.contains(node));
        for member in directory.miners() {
            match members.get(&member.node) {
                Some(miner) if miner.endpoint() == member.endpoint.as_ref() => continue,
                Some(moved) => {
                    moved.leave();
                    members.remove(&member.node);
                    changed = true;
                }
                None => {}
            }
            match self.connected(member) {
                Ok(module) => {
                    changed = true;
                    self.unreachable.remove(&member.node);
                    let miner = Arc::new(Miner::new(member, module, self.balance.meter()));
                    members.insert(member.node.clone(), miner.clone());
                    self.tasks.spawn(self.care.clone().tend(miner));
                }
                Err(error) => {
                    let before = self
                        .unreachable
                        .insert(member.node.clone(), member.endpoint.clone());
                    if before.as_ref() != Some(&member.endpoint) {
                        tracing::warn!(miner = %member.node, %error, "a miner cannot be connected");
                    }
                }
            }
        }
        roster.set_unreachable(self.unreachable.len());
        changed
    }

    fn connected(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        catch_unwind(AssertUnwindSafe(|| self.connect.connect(member)))
            .unwrap_or_else(|payload| Err(Error::from_panic(&*payload)))
    }
}
