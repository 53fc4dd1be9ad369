//! What this machine has, and what of it is free.
//!
//! A process in a container sees the whole machine in most places, and is killed at its own limit. So both are read: the
//! machine's memory and processors, and the limits of every cgroup (version 1 and 2) that the process is in, from its own to
//! the outermost that is visible; the tightest counts.

mod builder;
mod cgroup;
#[cfg(feature = "config")]
mod config;
mod gpu;
mod host;
mod mounts;
mod resources;
mod sampler;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{self, Sender},
    },
    time::Duration,
};

use synapse_core::{Attached, Capacity, Health, MetricsData};
use tokio::time::Instant;

#[cfg(feature = "config")]
pub use self::config::MonitorConfig;
use self::sampler::Sampler;
pub use self::{
    builder::MonitorBuilder,
    resources::{Gpu, Resources},
};

/// Looks at this machine every so often, and keeps what it saw. A clone sees the same; the last one that is dropped ends it.
///
/// It looks from a thread of its own, since files of `/proc` and `/sys`, a disk and a GPU's driver may all take their time;
/// reading [`latest`](Self::latest) is a lock and a copy. [Attached](synapse_core::Stack::attach) to a stack it adds the free
/// memory to the stack's [capacity](Health::capacity) and itself to its metrics:
///
/// | metric | what it is |
/// | --- | --- |
/// | `host.cpu_cores`, `host.cpu_load` | processors that may be used, and how busy those are, from 0 to 1 |
/// | `host.memory_total_bytes`, `host.memory_available_bytes` | memory within the limits |
/// | `host.disk_available_bytes` | of the disk that is watched |
/// | `gpu.memory_total_bytes{gpu}`, `gpu.memory_free_bytes{gpu}`, `gpu.load{gpu}` | of each GPU (feature `nvml`) |
/// | `host.age_seconds` | how old all this is |
///
/// ```
/// use std::time::Duration;
/// use synapse_miner::monitor::ResourceMonitor;
/// let monitor = ResourceMonitor::builder().every(Duration::from_secs(5)).watching_disk("/").start();
/// let now = monitor.latest();
/// println!("{:?} bytes of memory are free", now.memory_available);
/// ```
#[derive(Clone)]
pub struct ResourceMonitor(Arc<Shared>);

struct Shared {
    seen: Arc<RwLock<Seen>>,
    /// Dropped, it ends the thread.
    _running: Option<Sender<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    resources: Resources,
    at: Option<Instant>,
}

impl ResourceMonitor {
    /// Looks every 2 s from now on. Nothing is known before the first look is done, some milliseconds later.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A monitor with other than the usual settings.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::new()
    }

    /// Never looks, and says this: where somebody else knows what there is, and in tests.
    #[must_use]
    pub fn fixed(resources: Resources) -> Self {
        let seen = Seen { resources, at: None };
        Self(Arc::new(Shared {
            seen: Arc::new(RwLock::new(seen)),
            _running: None,
        }))
    }

    /// What it saw last.
    #[must_use]
    pub fn latest(&self) -> Resources {
        let seen = self.0.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.resources.clone()
    }

    /// How long ago that was: `None` before the first look, and where it never looks.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let seen = self.0.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.at.map(|at| at.elapsed())
    }

    fn run(mut sampler: Sampler, every: Duration) -> Self {
        let (running, stop) = mpsc::channel::<()>();
        let seen = Arc::new(RwLock::new(Seen::default()));
        let kept = seen.clone();
        let looks = move || {
            loop {
                let resources = sampler.look();
                let at = Some(Instant::now());
                *kept.write().unwrap_or_else(PoisonError::into_inner) = Seen { resources, at };
                if stop.recv_timeout(every) != Err(mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        let started = std::thread::Builder::new()
            .name("resources".to_owned())
            .spawn(looks);
        if let Err(error) = started {
            tracing::warn!(%error, "no thread could be started to look at this machine's resources, which stay unknown");
        }
        Self(Arc::new(Shared {
            seen,
            _running: Some(running),
        }))
    }
}

impl Attached for ResourceMonitor {
    fn health(&self) -> Health {
        let now = self.latest();
        let mut capacity = Capacity::default();
        if let Some(bytes) = now.memory_available {
            capacity = capacity.with_memory_free(bytes);
        }
        if let Some(bytes) = now.gpu_memory_free() {
            capacity = capacity.with_gpu_memory_free(bytes);
        }
        match capacity == Capacity::default() {
            true => Health::ready(),
            false => Health::ready().with_capacity(capacity),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    fn metrics(&self, metrics: &mut MetricsData) {
        let now = self.latest();
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        for (name, value) in [
            ("host.cpu_cores", now.cpu_cores),
            ("host.cpu_load", now.cpu_load),
            ("host.memory_total_bytes", bytes(now.memory_total)),
            ("host.memory_available_bytes", bytes(now.memory_available)),
            ("host.disk_available_bytes", bytes(now.disk_available)),
            ("host.age_seconds", self.age().map(|age| age.as_secs_f64())),
        ] {
            if let Some(value) = value {
                metrics.gauge(name, value);
            }
        }
        for gpu in &now.gpus {
            let index = gpu.index.to_string();
            let labels = [("gpu", index.as_str())];
            metrics.gauge_of("gpu.memory_total_bytes", &labels, gpu.memory_total as f64);
            metrics.gauge_of("gpu.memory_free_bytes", &labels, gpu.memory_free as f64);
            if let Some(load) = gpu.load {
                metrics.gauge_of("gpu.load", &labels, load);
            }
        }
    }
}

impl fmt::Debug for ResourceMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResourceMonitor").field(&self.latest()).finish()
    }
}
