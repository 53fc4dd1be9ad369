//! Where the parts of a node say what happened and how it stands.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use synapse_core::{DataDir, Error, NodeId, SubnetId, Watch, WatchSender};
use tokio::time::sleep;

use super::{
    MinerEvent, MinerStatus,
    event::Topic,
    state::{Lasting, replace},
    status::{ActiveAlert, millis},
};

/// How often the status is written, at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);
const FILE: &str = "status.json";

type Told = Box<dyn FnMut(&MinerEvent) + Send>;

/// A node's status, its alerts, and whoever wants to hear of events.
pub(super) struct Board {
    told: Mutex<Told>,
    current: Mutex<Current>,
    status: WatchSender<MinerStatus>,
}

struct Current {
    status: MinerStatus,
    /// What each alert is about, in the order of the status's.
    topics: Vec<Topic>,
}

impl Board {
    pub(super) fn new(node: NodeId, subnet: SubnetId) -> Arc<Self> {
        let status = MinerStatus::new(node, subnet);
        Arc::new(Self {
            told: Mutex::new(Box::new(|_| {})),
            status: Watch::channel(status.clone()).0,
            current: Mutex::new(Current {
                status,
                topics: Vec::new(),
            }),
        })
    }

    pub(super) fn on_event(&self, told: impl FnMut(&MinerEvent) + Send + 'static) {
        *lock(&self.told) = Box::new(told);
    }

    pub(super) fn follow(&self) -> Watch<MinerStatus> {
        self.status.follow()
    }

    /// Says what happened. An alert stands until something else is said about the same.
    pub(super) fn say(&self, event: &MinerEvent) {
        if event.is_alert() {
            tracing::warn!(code = event.code(), "{event}");
        } else {
            tracing::info!(code = event.code(), "{event}");
        }
        {
            let mut current = lock(&self.current);
            let about = current.topics.iter().position(|topic| *topic == event.topic());
            if let Some(at) = about {
                current.topics.remove(at);
                current.status.alerts.remove(at);
            }
            if event.is_alert() {
                current.topics.push(event.topic());
                current.status.alerts.push(ActiveAlert {
                    code: event.code().to_owned(),
                    text: event.to_string(),
                    since_ms: millis(SystemTime::now()),
                });
            }
            self.show(&mut current);
        }
        (lock(&self.told))(event);
    }

    /// Whether something is wrong with this.
    pub(super) fn has_alert(&self, topic: Topic) -> bool {
        lock(&self.current).topics.contains(&topic)
    }

    /// Changes the status; whoever follows it is told where that makes a difference.
    pub(super) fn note(&self, change: impl FnOnce(&mut MinerStatus)) {
        let mut current = lock(&self.current);
        let before = current.status.clone();
        change(&mut current.status);
        current.status.compare();
        if current.status != before {
            self.show(&mut current);
        }
    }

    fn show(&self, current: &mut Current) {
        current.status.written_ms = millis(SystemTime::now());
        self.status.set(current.status.clone());
    }

    /// Keeps `status.json` as it is, for whoever looks from outside. Never ends.
    pub(super) async fn write(&self, directory: Arc<DataDir>) {
        let mut status = self.follow();
        while let Some(current) = status.next().await {
            if let Err(error) = store(&directory, &current).await {
                tracing::debug!(%error, "the status could not be written");
            }
            sleep(WRITE_EVERY).await;
        }
    }

    /// Writes the status once, as the last thing that a node does.
    pub(super) async fn write_last(&self, directory: &Arc<DataDir>) {
        if let Err(error) = store(directory, &self.status.current()).await {
            tracing::debug!(%error, "the last status could not be written");
        }
    }
}

async fn store(directory: &Arc<DataDir>, status: &MinerStatus) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(status).expect("a status has a JSON form");
    replace(directory.clone(), FILE, text, Lasting::No).await
}

/// What panicked was the program's own hook, and the node goes on.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("status", &self.status.current())
            .finish_non_exhaustive()
    }
}
