//! Having as many replicas as are wanted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use synapse_core::Error;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    ReplicaEvent, Spawner, autoscaler::Autoscaler, keeper::Keeper, roster::Roster, settings::Settings,
};

/// The task that has as many replicas as are wanted, and the way to end it. Dropped, it ends at once, and its replicas
/// with it.
#[derive(Debug)]
pub(super) struct Manager {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Manager {
    pub(super) fn start<S: Spawner>(
        spawner: Arc<S>,
        roster: Arc<Roster>,
        settings: Settings,
        most: u32,
        autoscaler: Option<Autoscaler>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let manage = Manage {
            spawner,
            roster,
            settings,
            most,
            autoscaler,
            keepers: BTreeMap::new(),
            ending: BTreeSet::new(),
            numbers: HashMap::new(),
            tasks: JoinSet::new(),
        };
        Self {
            stop,
            task: tokio::spawn(manage.run(stopped)),
        }
    }

    /// Lets every replica drain and end, and waits until that is done. Cancel safe.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        (&mut self.task).await.map_err(|error| {
            Error::internal(
                "replicas_task_failed",
                "the task that looks after the replicas failed",
            )
            .with_source(error)
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Manage<S> {
    spawner: Arc<S>,
    roster: Arc<Roster>,
    settings: Settings,
    most: u32,
    autoscaler: Option<Autoscaler>,
    /// The numbers that are wanted, and how to say that one is not any more.
    keepers: BTreeMap<u32, watch::Sender<bool>>,
    /// The numbers whose replica is about to end.
    ending: BTreeSet<u32>,
    numbers: HashMap<Id, u32>,
    tasks: JoinSet<()>,
}

impl<S: Spawner> Manage<S> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wanted = self.roster.wanted.subscribe();
        let mut changed = self.roster.changed.subscribe();
        let mut looks = interval(self.settings.decide_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let number = *wanted.borrow_and_update();
            self.reconcile(number.min(self.most));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                // The roster outlives this task, and never closes its side.
                _ = changed.changed() => {
                    if let Some(autoscaler) = &mut self.autoscaler {
                        autoscaler.tell(self.roster.load().slots);
                    }
                }
                _ = wanted.changed() => {}
                _ = looks.tick(), if self.autoscaler.is_some() => self.decide(number),
            }
        }
        for keeper in self.keepers.values() {
            keeper.send_replace(true);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// The task of a number ended, which is free now.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(number) = self.numbers.remove(&id) else {
            return;
        };
        if let Err(error) = ended {
            // Code of others panicked, and may do so again: the number rests for a while.
            tracing::error!(number, %error, "the task that looks after a replica failed");
            let rest = self.tasks.spawn(sleep(self.settings.retry));
            self.numbers.insert(rest.id(), number);
        } else {
            self.keepers.remove(&number);
            self.ending.remove(&number);
        }
    }

    /// Asks the policy.
    fn decide(&mut self, wanted: u32) {
        let Some(autoscaler) = &mut self.autoscaler else {
            return;
        };
        let load = self.roster.load();
        // What a replica says that it works on may change by itself.
        autoscaler.tell(load.slots);
        let (now, load) = autoscaler.look(wanted, load);
        if now != wanted {
            self.roster.say(&ReplicaEvent::Wanted {
                before: wanted,
                now,
                waiting: load.waiting,
            });
            self.roster.wanted.send_replace(now);
        }
    }

    fn reconcile(&mut self, wanted: u32) {
        while self.keepers.len() < wanted as usize {
            let taken = |number: &u32| self.keepers.contains_key(number) || self.ending.contains(number);
            // Where every number is taken, one that ends comes free.
            let Some(number) = (0..self.most).find(|number| !taken(number)) else {
                return;
            };
            let (stop, stopped) = watch::channel(false);
            let keeper = Keeper {
                spawner: self.spawner.clone(),
                roster: self.roster.clone(),
                settings: self.settings,
                number,
                stop: stopped,
            };
            let task = self.tasks.spawn(keeper.run());
            self.numbers.insert(task.id(), number);
            self.keepers.insert(number, stop);
        }
        while self.keepers.len() > wanted as usize {
            // One that is not ready first, else the last.
            let spare = self.keepers.keys().rev();
            let Some(number) = spare.copied().min_by_key(|number| self.roster.is_ready(*number)) else {
                return;
            };
            if let Some(stop) = self.keepers.remove(&number) {
                stop.send_replace(true);
                self.ending.insert(number);
            }
        }
    }
}
