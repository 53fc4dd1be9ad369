//! How a ledger is kept.

use std::time::Duration;

/// How a ledger is kept.
///
/// ```
/// use std::time::Duration;
/// use synapse_validator::ledger::{Settings, Sync};
///
/// let settings = Settings::default().sync(Sync::Always).keep_rows(Duration::from_secs(90 * 24 * 3600));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// When rows are made to outlive a power cut: every 20 ms, where nothing else is said.
    pub sync: Sync,
    /// Bytes of one segment: 64 MiB. All of it is taken from the disk as it begins.
    pub segment_bytes: u64,
    /// How long rows are kept before their segment is folded into its totals: for good, where nothing else is said. Totals,
    /// balances and top-ups are never dropped.
    pub keep_rows: Option<Duration>,
    /// What is done about what the disk did not keep as it was written.
    pub corruption: Corruption,
}

/// When rows are made to outlive a power cut. Whatever is chosen, a row outlives the process as soon as it was begun or
/// ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sync {
    /// So long after the first row that waits for it, at most, the disk is asked to store all of them: a power cut takes no
    /// more than that.
    Every(Duration),
    /// The disk is asked at once; those who come meanwhile share the next time. Replies wait for it, and a power cut takes
    /// nothing.
    Always,
}

/// What is done where what the disk holds is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The ledger does not open, and says which file at which place, and what can be done.
    Refuse,
    /// The bytes are kept aside in `corrupt/`, what follows them is read, and [`Recovered`](super::Recovered) says what was
    /// set aside.
    SetAside,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: Sync::Every(Duration::from_millis(20)),
            segment_bytes: 64 << 20,
            keep_rows: None,
            corruption: Corruption::Refuse,
        }
    }
}

impl Settings {
    /// When rows are made to outlive a power cut.
    #[must_use]
    pub fn sync(self, sync: Sync) -> Self {
        Self { sync, ..self }
    }

    /// Bytes of one segment, at least 64 KiB and at most 1 GiB.
    #[must_use]
    pub fn segment_bytes(self, bytes: u64) -> Self {
        Self {
            segment_bytes: bytes.clamp(64 << 10, 1 << 30),
            ..self
        }
    }

    /// How long rows are kept before only their totals are.
    #[must_use]
    pub fn keep_rows(self, time: Duration) -> Self {
        Self {
            keep_rows: Some(time),
            ..self
        }
    }

    /// What is done about what the disk did not keep as it was written.
    #[must_use]
    pub fn corruption(self, corruption: Corruption) -> Self {
        Self { corruption, ..self }
    }
}
