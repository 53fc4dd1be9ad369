//! What a module has room for at a moment.

use serde::{Deserialize, Serialize};

/// What a module has room for now: part of its [`Health`](super::Health), so that whoever asks how it is learns it too.
/// What a miner says of itself is a claim. The default knows nothing, and narrows nothing.
///
/// ```
/// use synapse_core::Capacity;
/// let machine = Capacity::default().with_memory_free(8 << 30);
/// let engine = Capacity::new(4, 1);
/// assert_eq!(engine.narrower(machine).free(), Some(3));
/// assert_eq!(engine.narrower(machine).memory_free, Some(8 << 30));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capacity {
    /// How many requests it works on at once, as things are now; `None` where nothing says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// How many it works on now.
    #[serde(default)]
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
            slots: Some(slots),
            busy,
            ..Self::default()
        }
    }

    /// So many requests under way, in nobody knows how many places.
    #[must_use]
    pub fn of_busy(busy: u32) -> Self {
        Self {
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

    /// How many requests would begin at once, where that is known.
    #[must_use]
    pub fn free(self) -> Option<u32> {
        self.slots.map(|slots| slots.saturating_sub(self.busy))
    }

    /// What is left where both bound it: the fewer places, the more of them taken, everybody who waits anywhere, the less
    /// memory.
    #[must_use]
    pub fn narrower(self, other: Self) -> Self {
        Self {
            slots: less(self.slots, other.slots),
            busy: self.busy.max(other.busy),
            waiting: self.waiting.saturating_add(other.waiting),
            memory_free: less(self.memory_free, other.memory_free),
            gpu_memory_free: less(self.gpu_memory_free, other.gpu_memory_free),
        }
    }
}

/// The less of two, where both are known.
fn less<T: Ord>(ours: Option<T>, theirs: Option<T>) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}
