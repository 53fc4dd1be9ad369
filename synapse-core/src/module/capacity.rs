//! What a module has room for at a moment.

use serde::{Deserialize, Serialize};

/// What a module has room for now: part of its [`Health`](super::Health), so that whoever asks how it is learns it too.
/// What a miner says of itself is a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capacity {
    /// How many requests it works on at once, as things are now.
    pub slots: u32,
    /// How many of those places are taken.
    pub busy: u32,
    /// How many requests it accepted and has not begun.
    #[serde(default)]
    pub waiting: u32,
    /// Memory that is free, in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<u64>,
    /// The same of its GPUs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory_free: Option<u64>,
}

impl Capacity {
    /// So many places, so many of them taken.
    #[must_use]
    pub fn new(slots: u32, busy: u32) -> Self {
        Self {
            slots,
            busy,
            ..Self::default()
        }
    }

    /// The same with requests that wait.
    #[must_use]
    pub fn with_waiting(self, waiting: u32) -> Self {
        Self { waiting, ..self }
    }

    /// The same with memory that is free, in bytes.
    #[must_use]
    pub fn with_memory_free(self, bytes: u64) -> Self {
        Self {
            memory_free: Some(bytes),
            ..self
        }
    }

    /// The same with memory of GPUs that is free, in bytes.
    #[must_use]
    pub fn with_gpu_memory_free(self, bytes: u64) -> Self {
        Self {
            gpu_memory_free: Some(bytes),
            ..self
        }
    }

    /// How many requests would begin at once.
    #[must_use]
    pub fn free(self) -> u32 {
        self.slots.saturating_sub(self.busy)
    }

    /// What is left where both bound it: the fewer places, the more of them taken, everybody who waits anywhere, the less
    /// memory.
    #[must_use]
    pub fn narrower(self, other: Self) -> Self {
        let less = |ours: Option<u64>, theirs: Option<u64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Self {
            slots: self.slots.min(other.slots),
            busy: self.busy.max(other.busy),
            waiting: self.waiting.saturating_add(other.waiting),
            memory_free: less(self.memory_free, other.memory_free),
            gpu_memory_free: less(self.gpu_memory_free, other.gpu_memory_free),
        }
    }
}
