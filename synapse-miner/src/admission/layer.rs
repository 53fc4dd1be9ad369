//! The layer.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synapse_core::{
    Attached, Capacity, Chunk, Ending, Error, Health, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, ModuleCapabilities, Next, Output, Pending, Tap, Usage, async_trait,
};
use tokio::time::Instant;
use tower::Layer;

use super::{
    limit::{Limit, Sample},
    refusal::{self, Reason},
};
use crate::{
    monitor::ResourceMonitor,
    queue::{Count, Governor, Guess, QueueWait},
};

/// Main memory that is kept free, where nobody said otherwise, in bytes.
const HEADROOM: u64 = 128 << 20;
/// A token of the prompt is read in about a sixteenth of the time that a token of the reply is written in.
const PROMPT_TOKENS: u64 = 16;
/// A reply of fewer tokens says more of its prompt than of the engine.
const TELLING: u64 = 8;
/// How much the latest request counts in the mean time that requests take.
const RECENCY: f64 = 0.2;

/// Learns how many requests an engine works on well at once, and refuses what the machine has no memory for.
///
/// * **The limit** is a gradient over the *normalised latency* of replies: from when the engine was given a request until
///   its last chunk, for each token of the reply, and a sixteenth for each of the prompt's. That is what grows when an
///   engine has more to do than it does well: by slower tokens where it works on all at once, by a longer wait for the first
///   where it lets them wait itself. While a token takes up to half again as long as at its best, the limit grows;
///   beyond that it shrinks. It is never below 1, nor above the [`ceiling`](Self::ceiling).
/// * **With a queue** inside it the queue's places follow the limit, within what the queue itself allows. Nobody is refused
///   for it: who waits, and who does not, the queue decides. The time in line does not count as the engine's.
/// * **Without one** a request beyond the limit is refused at once, with `concurrency_limit`.
/// * **Memory**: where less is free than the [headroom](Self::memory_headroom), new requests are refused at once with
///   `memory_low`, or with `gpu_memory_low`; what is under way goes on. What nobody could measure refuses nobody.
///
/// Replies that broke, those whose readers left, and those of fewer than eight tokens (embeddings, probes) teach it nothing.
/// A reader who reads slower than the engine writes makes a reply look slow; the median of eight keeps a few of them from
/// counting. A large model among small ones looks like an engine that slows down: give each a stack of its own.
///
/// The state lives in the layer: clones share it. [Attached](synapse_core::Stack::attach), it reports capacity, free
/// memory and metrics (`admission.limit`, `admission.in_flight`, `admission.refused` by reason,
/// `admission.best_token_seconds`), and learns its ceiling from the module it stands before.
#[derive(Clone)]
pub struct AdmissionLayer {
    shared: Arc<Shared>,
    ceiling: Option<u32>,
    memory_headroom: u64,
    gpu_headroom: u64,
}

struct Shared {
    monitor: ResourceMonitor,
    governor: Governor,
    state: Mutex<State>,
}

struct State {
    limit: Limit,
    in_flight: usize,
    mean_time: Duration,
    refused: [u64; Reason::ALL.len()],
}

impl AdmissionLayer {
    /// A limit of 4 to begin with, and 128 MiB of memory that are kept free on the machine that `monitor` looks at.
    #[must_use]
    pub fn new(monitor: ResourceMonitor) -> Self {
        let limit = Limit::new(Instant::now());
        Self {
            shared: Arc::new(Shared {
                monitor,
                governor: Governor::allowing(limit.get()),
                state: Mutex::new(State {
                    limit,
                    in_flight: 0,
                    mean_time: Duration::ZERO,
                    refused: [0; Reason::ALL.len()],
                }),
            }),
            ceiling: None,
            memory_headroom: HEADROOM,
            gpu_headroom: 0,
        }
    }

    /// The same with a limit that never goes beyond so many requests: an engine's slots. Where nobody says it, it is what
    /// the module [says](ModuleCapabilities::concurrency) once the layer is attached. Set it before cloning.
    #[must_use]
    pub fn ceiling(mut self, requests: u32) -> Self {
        self.ceiling = Some(requests.max(1));
        self.shared.raise_to(requests);
        self
    }

    /// The same with so many to begin with, instead of 4: what whoever knows the engine found right for it. From there the
    /// limit is learned as ever. Set it before cloning.
    #[must_use]
    pub fn starting_at(self, requests: u32) -> Self {
        let limit = {
            let mut state = self.shared.lock();
            state.limit.start_at(requests);
            state.limit.get()
        };
        self.shared.governor.allow(limit);
        self
    }

    /// The same keeping so many bytes of main memory free instead of 128 MiB; 0 for none. Set it before cloning.
    #[must_use]
    pub fn memory_headroom(mut self, bytes: u64) -> Self {
        self.memory_headroom = bytes;
        self
    }

    /// The same keeping so many bytes free on the GPU that has most; 0, as it is otherwise, for none: engines take a GPU's
    /// memory at their start. Set it before cloning.
    #[must_use]
    pub fn gpu_memory_headroom(mut self, bytes: u64) -> Self {
        self.gpu_headroom = bytes;
        self
    }

    /// How many requests the engine works on well at once, as far as was learned.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.lock().limit.get()
    }

    /// Whether there is memory for one more.
    fn memory(&self) -> Result<(), (Reason, Error)> {
        let (memory, gpu) = self.free();
        if let Some(free) = memory.filter(|free| *free < self.memory_headroom) {
            return Err((Reason::Memory, refusal::memory(free, self.memory_headroom)));
        }
        if let Some(free) = gpu.filter(|free| *free < self.gpu_headroom) {
            return Err((Reason::GpuMemory, refusal::gpu_memory(free, self.gpu_headroom)));
        }
        Ok(())
    }

    /// Free main memory, and free memory of the GPU that has most.
    fn free(&self) -> (Option<u64>, Option<u64>) {
        let now = self.shared.monitor.latest();
        let gpu = now.gpus.iter().map(|gpu| gpu.memory_free).max();
        (now.memory_available, gpu)
    }

    fn admit(&self) -> Result<(), Error> {
        let memory = self.memory();
        let mut state = self.shared.lock();
        if let Err((reason, error)) = memory {
            state.refused[reason as usize] += 1;
            return Err(error);
        }
        let limit = state.limit.get();
        if state.in_flight >= limit && !self.shared.governor.is_followed() {
            state.refused[Reason::Limit as usize] += 1;
            let share = u32::try_from(limit).unwrap_or(u32::MAX);
            return Err(refusal::limit(limit, state.mean_time / share));
        }
        state.in_flight += 1;
        Ok(())
    }
}

impl fmt::Debug for AdmissionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmissionLayer")
            .field("limit", &self.limit())
            .field("ceiling", &self.ceiling)
            .field("memory_headroom", &self.memory_headroom)
            .field("gpu_memory_headroom", &self.gpu_headroom)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn raise_to(&self, ceiling: u32) {
        let limit = {
            let mut state = self.lock();
            state.limit.set_ceiling(ceiling);
            state.limit.get()
        };
        self.governor.allow(limit);
    }

    /// How many the engine works on now.
    fn busy(&self) -> usize {
        match self.governor.seen() {
            Some((_, busy, _)) => busy,
            None => self.lock().in_flight,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for AdmissionLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        self.admit()?;
        let mut pending = Pending::new(Admitted {
            shared: self.shared.clone(),
            started: Instant::now(),
            busy: 0,
            count: Count::new(Guess::of(&input)),
        });
        input.extensions_mut().insert(self.shared.governor.clone());
        let result = next.run(input).await;
        if let Ok(output) = &result {
            let tap = pending.tap_mut();
            tap.busy = self.shared.busy();
            if let Some(wait) = output.head.extensions().get::<QueueWait>() {
                tap.started += wait.waited();
            }
        }
        pending.settle(result)
    }
}

/// A request that was admitted, until its body ends.
struct Admitted {
    shared: Arc<Shared>,
    /// When the engine was given it.
    started: Instant,
    busy: usize,
    count: Count,
}

impl Tap for Admitted {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.count.on_chunk(chunk);
    }

    fn on_end(&mut self, ending: &Ending) {
        let now = Instant::now();
        let limit = {
            let mut state = self.shared.lock();
            state.in_flight -= 1;
            if matches!(ending, Ending::Complete) {
                let took = now.duration_since(self.started);
                let before = std::mem::replace(&mut state.mean_time, took);
                if !before.is_zero() {
                    state.mean_time = before.mul_f64(1.0 - RECENCY) + took.mul_f64(RECENCY);
                }
                let usage = self.count.usage();
                if usage.output_tokens >= TELLING {
                    let sample = Sample {
                        started: self.started,
                        pace: pace(took, usage),
                        busy: self.busy,
                    };
                    state.limit.observe(now, sample);
                }
            }
            state.limit.get()
        };
        self.shared.governor.allow(limit);
    }
}

/// Seconds for a token of the reply, with a part of one for each of the prompt's.
#[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
fn pace(took: Duration, usage: Usage) -> f64 {
    let tokens = usage.output_tokens as f64 + usage.input_tokens as f64 / PROMPT_TOKENS as f64;
    took.as_secs_f64() / tokens
}

#[async_trait]
impl Attached for AdmissionLayer {
    /// Narrows what the module says it works on at once to the ceiling; where nobody set one, takes it over.
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        match (self.ceiling, capabilities.concurrency) {
            (Some(ceiling), inner) => {
                capabilities.concurrency = Some(inner.map_or(ceiling, |inner| inner.min(ceiling)));
            }
            (None, Some(inner)) => self.shared.raise_to(inner),
            (None, None) => {}
        }
    }

    fn health(&self) -> Health {
        let health = match self.memory() {
            Ok(()) => Health::ready(),
            Err((_, error)) => Health::degraded(error.message().to_owned()),
        };
        let seen = self.shared.monitor.latest();
        let (slots, busy) = match self.shared.governor.seen() {
            Some((places, busy, _)) => (places, busy),
            None => (self.limit(), self.shared.busy()),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut capacity = Capacity::new(count(slots), count(busy));
        if let Some(bytes) = seen.memory_available {
            capacity = capacity.with_memory_free(bytes);
        }
        if let Some(bytes) = seen.gpu_memory_free() {
            capacity = capacity.with_gpu_memory_free(bytes);
        }
        health.with_capacity(capacity)
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        let state = self.shared.lock();
        metrics.gauge("admission.limit", state.limit.get() as f64);
        metrics.gauge("admission.in_flight", state.in_flight as f64);
        if let Some(seconds) = state.limit.best() {
            metrics.gauge("admission.best_token_seconds", seconds);
        }
        for reason in Reason::ALL {
            let count = state.refused[reason as usize];
            metrics.counter_of("admission.refused", &[("reason", reason.as_str())], count);
        }
    }
}
