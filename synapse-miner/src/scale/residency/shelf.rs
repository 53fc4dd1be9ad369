//! The models that share a memory, and how it is with each.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synapse_core::{Ending, Error, MetricsData, Tap};
use tokio::{sync::watch, time::Instant};

use super::{loader::Resident, policy::ModelDemand, rate::Rate};

/// Requests that wait for one model at once.
const MOST_WAITING: u32 = 256;
/// How long a model is not tried again that did not load.
const LET_BE: Duration = Duration::from_secs(30);
/// How long loading takes where it is not known yet.
const UNKNOWN: Duration = Duration::from_secs(10);

/// A model that shares a memory with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedModel {
    pub(super) id: String,
    pub(super) bytes: u64,
    pub(super) pinned: bool,
}

impl SharedModel {
    /// The model that requests call so, which takes about so many bytes.
    pub fn new(id: impl Into<String>, bytes: u64) -> Self {
        Self {
            id: id.into(),
            bytes,
            pinned: false,
        }
    }

    /// Is always loaded: what a miner advertises and wants to answer at once.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        self.pinned = true;
        self
    }
}

/// The models, and how it is with each.
#[derive(Debug)]
pub(super) struct Shelf {
    slots: Mutex<Vec<Slot>>,
    /// Something was asked for, loaded or unloaded.
    pub(super) changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Slot {
    model: SharedModel,
    loaded: Option<Instant>,
    /// It is about to leave: nobody new may ask it.
    leaving: bool,
    busy: u32,
    waiting: u32,
    rate: Rate,
    failed: Option<(Error, Instant)>,
    /// How long loading took, the last time.
    takes: Option<Duration>,
    loads: u64,
    unloads: u64,
}

/// Whether a model can be asked.
pub(super) enum Answer {
    Yes(Asked),
    /// It is not loaded, which takes about so long.
    Waits(Duration),
    /// It was tried, and not loaded.
    Failed(Error),
    /// Too many wait for it already.
    Full(Duration),
}

impl Shelf {
    pub(super) fn new(models: Vec<SharedModel>) -> Self {
        let slot = |model| Slot {
            model,
            loaded: None,
            leaving: false,
            busy: 0,
            waiting: 0,
            rate: Rate::none(),
            failed: None,
            takes: None,
            loads: 0,
            unloads: 0,
        };
        Self {
            slots: Mutex::new(models.into_iter().map(slot).collect()),
            changed: watch::Sender::new(()),
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_change(&self) {
        self.changed.send_replace(());
    }

    /// The number of a model; `None` of one that is none of these.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.slots().iter().position(|slot| same(&slot.model.id, id))
    }

    pub(super) fn id(&self, at: usize) -> String {
        self.slots()[at].model.id.clone()
    }

    /// Somebody asks for it.
    pub(super) fn count(&self, at: usize) {
        self.slots()[at].rate.count();
    }

    /// Somebody would ask it now, or begins to wait where he does not `wait` yet.
    pub(super) fn enter(self: &Arc<Self>, at: usize, waits: bool) -> Answer {
        let mut slots = self.slots();
        let slot = &mut slots[at];
        if slot.loaded.is_some() && !slot.leaving {
            slot.busy += 1;
            return Answer::Yes(Asked {
                shelf: self.clone(),
                at,
            });
        }
        if let Some((error, _)) = slot.failed.as_ref().filter(|(_, at)| at.elapsed() < LET_BE) {
            return Answer::Failed(error.clone());
        }
        let takes = slot.takes.unwrap_or(UNKNOWN);
        if !waits && slot.waiting >= MOST_WAITING {
            return Answer::Full(takes);
        }
        Answer::Waits(takes)
    }

    /// Begins to wait for it, until the guard drops.
    pub(super) fn wait(self: &Arc<Self>, at: usize) -> Waiting {
        self.slots()[at].waiting += 1;
        self.note_change();
        Waiting {
            shelf: self.clone(),
            at,
        }
    }

    /// As a policy sees it, and how many bytes those take that are loaded.
    pub(super) fn demand(&self) -> (Vec<ModelDemand>, u64) {
        let slots = self.slots();
        let demand: Vec<_> = slots.iter().map(Slot::demand).collect();
        let loaded = demand.iter().filter(|model| model.loaded_for.is_some());
        let bytes = loaded.fold(0_u64, |sum, model| sum.saturating_add(model.bytes));
        (demand, bytes)
    }

    /// These are loaded, whoever did that. Asked between steps: what was about to leave as the keeper was ended leaves no
    /// more.
    pub(super) fn see(&self, loaded: &[Resident]) {
        let now = Instant::now();
        for slot in &mut *self.slots() {
            slot.leaving = false;
            let seen = loaded
                .iter()
                .find(|resident| same(&resident.model, &slot.model.id));
            match seen {
                Some(resident) => {
                    slot.loaded.get_or_insert(now);
                    if resident.bytes > 0 {
                        slot.model.bytes = resident.bytes;
                    }
                }
                None => slot.loaded = None,
            }
        }
        self.note_change();
    }

    /// Nobody new may ask it, unless it is asked now: then it stays.
    pub(super) fn begin_unload(&self, at: usize) -> bool {
        let slot = &mut self.slots()[at];
        slot.leaving = slot.busy == 0;
        slot.leaving
    }

    pub(super) fn end_unload(&self, at: usize, done: bool) {
        let slot = &mut self.slots()[at];
        slot.leaving = false;
        if done {
            slot.loaded = None;
            slot.unloads += 1;
        }
    }

    pub(super) fn end_load(&self, at: usize, took: Duration, result: Result<(), Error>) {
        {
            let slot = &mut self.slots()[at];
            match result {
                Ok(()) => {
                    slot.loaded = Some(Instant::now());
                    slot.failed = None;
                    slot.takes = Some(took);
                    slot.loads += 1;
                }
                Err(error) => slot.failed = Some((error, Instant::now())),
            }
        }
        self.note_change();
    }

    /// A pinned model that is not loaded.
    pub(super) fn missing(&self) -> Option<String> {
        let slots = self.slots();
        let missing = slots
            .iter()
            .find(|slot| slot.model.pinned && slot.loaded.is_none());
        missing.map(|slot| slot.model.id.clone())
    }

    pub(super) fn metrics(&self, metrics: &mut MetricsData) {
        for slot in &*self.slots() {
            let labels = [("model", slot.model.id.as_str())];
            let loaded = if slot.loaded.is_some() { 1.0 } else { 0.0 };
            metrics.gauge_of("residency.loaded", &labels, loaded);
            metrics.gauge_of("residency.waiting", &labels, f64::from(slot.waiting));
            metrics.gauge_of("residency.requests_per_second", &labels, slot.rate.now());
            metrics.counter_of("residency.loads", &labels, slot.loads);
            metrics.counter_of("residency.unloads", &labels, slot.unloads);
        }
    }
}

impl Slot {
    fn demand(&self) -> ModelDemand {
        ModelDemand {
            bytes: self.model.bytes,
            pinned: self.model.pinned,
            loadable: self.failed.as_ref().is_none_or(|(_, at)| at.elapsed() >= LET_BE),
            loaded_for: self.loaded.map(|since| since.elapsed()),
            busy: self.busy,
            waiting: self.waiting,
            rate: self.rate.now(),
        }
    }
}

/// Whether these name the same model: Ollama says `name:latest` of what was asked for as `name`.
fn same(one: &str, other: &str) -> bool {
    let short = |name| str::strip_suffix(name, ":latest").unwrap_or(name);
    short(one) == short(other)
}

/// A request that a model works on, until its body ends.
pub(super) struct Asked {
    shelf: Arc<Shelf>,
    at: usize,
}

impl Tap for Asked {
    fn on_end(&mut self, _: &Ending) {
        let slot = &mut self.shelf.slots()[self.at];
        slot.busy = slot.busy.saturating_sub(1);
        let idle = slot.busy == 0;
        if idle {
            self.shelf.note_change();
        }
    }
}

/// A request that waits for a model.
pub(super) struct Waiting {
    shelf: Arc<Shelf>,
    at: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let slot = &mut self.shelf.slots()[self.at];
        slot.waiting = slot.waiting.saturating_sub(1);
    }
}
