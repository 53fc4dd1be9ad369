//! How much memory models share.

use crate::monitor::ResourceMonitor;

/// How much memory models share, in bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Budget {
    /// So much.
    Fixed(u64),
    /// What a machine has free and they have already, but for `spare`. Where a machine has GPUs, that is theirs.
    Machine {
        /// What looks at the machine.
        monitor: ResourceMonitor,
        /// What is to stay free.
        spare: u64,
    },
}

impl Budget {
    /// The budget as it is now, where models have `resident` bytes; `None` where it is not known.
    pub(super) fn now(&self, resident: u64) -> Option<u64> {
        match self {
            Self::Fixed(bytes) => Some(*bytes),
            Self::Machine { monitor, spare } => {
                let seen = monitor.latest();
                let free = seen.gpu_memory_free().or(seen.memory_available)?;
                Some(free.saturating_add(resident).saturating_sub(*spare))
            }
        }
    }
}
