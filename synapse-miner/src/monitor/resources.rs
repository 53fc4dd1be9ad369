//! What a machine has.

use serde::{Deserialize, Serialize};

/// What this machine, or the part of it that this process may use, has and has free. `None` is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resources {
    /// Processor cores that may be used; a limit of the cgroup may leave a part of one.
    pub cpu_cores: Option<f64>,
    /// How busy those are, from 0 to 1.
    pub cpu_load: Option<f64>,
    /// Memory in bytes, within the cgroup's limit.
    pub memory_total: Option<u64>,
    /// Memory that could be taken without anything being put to swap, in bytes.
    pub memory_available: Option<u64>,
    /// Free bytes on the disk that was asked about.
    pub disk_available: Option<u64>,
    /// The GPUs, or those of them that are watched.
    pub gpus: Vec<Gpu>,
}

impl Resources {
    /// The free memory of all GPUs together, in bytes; `None` where there is no GPU.
    #[must_use]
    pub fn gpu_memory_free(&self) -> Option<u64> {
        let free = self.gpus.iter().map(|gpu| gpu.memory_free);
        free.reduce(u64::saturating_add)
    }
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gpu {
    /// As `nvidia-smi` counts, and `CUDA_VISIBLE_DEVICES` where `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`.
    pub index: u32,
    /// What its maker calls it.
    pub name: String,
    /// Its memory in bytes.
    pub memory_total: u64,
    /// What of that is free.
    pub memory_free: u64,
    /// How busy it is, from 0 to 1, where it says so.
    pub load: Option<f64>,
}
