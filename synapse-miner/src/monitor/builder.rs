//! What is looked at, and how often.

use std::{path::PathBuf, time::Duration};

use super::{ResourceMonitor, sampler::Sampler};

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(10);

/// How a [`ResourceMonitor`] looks.
#[derive(Debug, Clone)]
#[must_use]
pub struct MonitorBuilder {
    every: Duration,
    disk: Option<PathBuf>,
    root: PathBuf,
    process: Option<u32>,
    gpus: Option<Vec<u32>>,
}

impl MonitorBuilder {
    pub(super) fn new() -> Self {
        Self {
            every: Duration::from_secs(2),
            disk: None,
            root: PathBuf::from("/"),
            process: None,
            gpus: None,
        }
    }

    /// The pause between two looks, at least 10 ms. 2 s unless set.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause.max(SHORTEST);
        self
    }

    /// Watches the room on the disk that holds `path`, such as where models are kept. None unless set.
    pub fn watching_disk(mut self, path: impl Into<PathBuf>) -> Self {
        self.disk = Some(path.into());
        self
    }

    /// Watches these GPUs, by [number](super::Gpu::index), and no others: those that an engine was given. All of them unless
    /// set. `CUDA_VISIBLE_DEVICES` is not read: it is the engine's.
    pub fn watching_gpus(mut self, indices: impl IntoIterator<Item = u32>) -> Self {
        self.gpus = Some(indices.into_iter().collect());
        self
    }

    /// Counts what this process may use, such as an engine that has limits of its own. Ours unless set; Linux only.
    pub fn of_process(mut self, id: u32) -> Self {
        self.process = Some(id);
        self
    }

    /// Reads `proc` and `sys` below this directory, as where a container has those of its host. `/` unless set; Linux only.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Looks from now on.
    #[must_use]
    pub fn start(self) -> ResourceMonitor {
        ResourceMonitor::run(
            Sampler::new(self.root, self.process, self.disk, self.gpus),
            self.every,
        )
    }
}
