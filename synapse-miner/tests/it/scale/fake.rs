//! Replicas that inject faults: they start slowly, do not start, panic, and die.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Capacity, Chunk, Delta, Error, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task, async_trait,
};
use synapse_miner::scale::Spawner;
use tokio::time::sleep;

/// Starts replicas that inject faults: slow starts, failed ones, deaths. A clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Inner>);

#[derive(Default)]
pub(super) struct Inner {
    pub(super) starts_in: Mutex<Duration>,
    /// So many starts fail, and so many panic.
    pub(super) fails: AtomicU32,
    pub(super) panics: AtomicU32,
    /// Whoever asks what a replica can do, has it panic.
    pub(super) claims_panic: AtomicBool,
    pub(super) alive: Mutex<HashMap<u32, Arc<Replica>>>,
    pub(super) starts: AtomicUsize,
    pub(super) ended: AtomicUsize,
    /// The most that lived at once, and requests that were cut off by a shutdown.
    pub(super) most: AtomicUsize,
    pub(super) cut_off: AtomicUsize,
}

pub(super) struct Replica {
    number: u32,
    inner: Arc<Inner>,
    in_flight: AtomicUsize,
    pub(super) asked: AtomicUsize,
    health: Mutex<Option<Health>>,
    dead: tokio::sync::watch::Sender<bool>,
}

impl Fake {
    pub(super) fn replica(&self, number: u32) -> Arc<Replica> {
        self.0.alive.lock().unwrap()[&number].clone()
    }

    pub(super) fn alive(&self) -> Vec<u32> {
        let mut numbers: Vec<_> = self.0.alive.lock().unwrap().keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

#[async_trait]
impl Spawner for Fake {
    async fn start(&self, number: u32) -> Result<Arc<dyn InferenceModule>, Error> {
        self.0.starts.fetch_add(1, SeqCst);
        let wait = *self.0.starts_in.lock().unwrap();
        sleep(wait).await;
        let fails = |left: u32| left.checked_sub(1);
        let panics = self.0.panics.fetch_update(SeqCst, SeqCst, fails).is_ok();
        assert!(!panics, "a start that was told to panic");
        if self.0.fails.fetch_update(SeqCst, SeqCst, fails).is_ok() {
            return Err(Error::unavailable("no_image", "a start that was told to fail"));
        }
        let replica = Arc::new(Replica {
            number,
            inner: self.0.clone(),
            in_flight: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            health: Mutex::default(),
            dead: tokio::sync::watch::Sender::new(false),
        });
        let mut alive = self.0.alive.lock().unwrap();
        assert!(
            alive.insert(number, replica.clone()).is_none(),
            "two replicas with one number"
        );
        self.0.most.fetch_max(alive.len(), SeqCst);
        Ok(replica)
    }
}

impl Replica {
    /// As if its process had gone: what it works on breaks, and nobody hears from it again.
    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }

    fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(super) fn says(&self, health: Option<Health>) {
        *self.health.lock().unwrap() = health;
    }
}

fn gone() -> Error {
    Error::unavailable("connection_refused", "nobody listens there")
}

#[async_trait]
impl InferenceModule for Replica {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        if self.is_dead() {
            return Err(gone());
        }
        let busy = u32::try_from(self.in_flight.load(SeqCst)).unwrap();
        let said = self.health.lock().unwrap().clone();
        Ok(said.unwrap_or_else(|| Health::ready().with_capacity(Capacity::new(2, busy))))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        assert!(
            !self.inner.claims_panic.load(SeqCst),
            "a claim that was told to panic"
        );
        ModuleCapabilities::new("fake")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("m"))
    }

    /// Takes a second, half of it for the head.
    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        if self.is_dead() {
            return Err(gone());
        }
        self.asked.fetch_add(1, SeqCst);
        self.in_flight.fetch_add(1, SeqCst);
        let under_way = UnderWay(self.inner.alive.lock().unwrap()[&self.number].clone());
        let mut dead = self.dead.subscribe();
        tokio::select! {
            _ = dead.wait_for(|dead| *dead) => return Err(gone()),
            () = sleep(Duration::from_millis(500)) => {}
        }
        let rest = async move {
            let _held = under_way;
            tokio::select! {
                _ = dead.wait_for(|dead| *dead) => Err(Error::broken("cut", "its replica died")),
                () = sleep(Duration::from_millis(500)) => Ok(Chunk::delta(Delta::text("two")).into_last()),
            }
        };
        let first = stream::iter([Ok(Chunk::delta(Delta::text("one ")))]);
        Ok(Output::new(Body::new(first.chain(stream::once(rest)))))
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = MetricsData::default();
        metrics.counter("fake.asked", self.asked.load(SeqCst) as u64);
        metrics.gauge("fake.now", 1.0);
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.inner.cut_off.fetch_add(self.in_flight.load(SeqCst), SeqCst);
        self.die();
        self.inner.ended.fetch_add(1, SeqCst);
        self.inner.alive.lock().unwrap().remove(&self.number);
        Ok(())
    }
}

struct UnderWay(Arc<Replica>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}
