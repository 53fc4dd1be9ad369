//! Where the parts of a node say what happened and how it stands.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::SystemTime,
};

use synapse_core::{Error, NodeId, SubnetId, Watch, WatchSender};

use super::{
    MinerEvent, MinerStatus,
    event::Topic,
    status::{ActiveAlert, millis},
};

/// What an alert calls the program's own hook.
const HOOK: &str = "on_event";

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
        self.record(event);
        let told = catch_unwind(AssertUnwindSafe(|| (lock(&self.told))(event)));
        // Of its own panic the hook is not told.
        if let Some(news) = self.heard(HOOK, told).1 {
            self.record(&news);
        }
    }

    /// Calls what an author wrote. A panic there is an alert until it goes well again, and `None`.
    pub(super) fn guarded<T>(&self, what: &'static str, call: impl FnOnce() -> T) -> Option<T> {
        let (came, news) = self.heard(what, catch_unwind(AssertUnwindSafe(call)));
        if let Some(news) = news {
            self.say(&news);
        }
        came
    }

    /// What a call came to, and what there is to say of that.
    fn heard<T>(&self, what: &'static str, came: thread::Result<T>) -> (Option<T>, Option<MinerEvent>) {
        let had_panicked = self.has_alert(Topic::Panic(what));
        match came {
            Ok(came) => (Some(came), had_panicked.then_some(MinerEvent::Recovered(what))),
            Err(payload) => {
                // The payload goes to the log.
                let _ = Error::from_panic(&*payload);
                (None, (!had_panicked).then_some(MinerEvent::Panicked(what)))
            }
        }
    }

    fn record(&self, event: &MinerEvent) {
        if event.is_alert() {
            tracing::warn!(code = event.code(), "{event}");
        } else {
            tracing::info!(code = event.code(), "{event}");
        }
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
        self.status.set(current.status.clone());
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
            self.status.set(current.status.clone());
        }
    }
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
