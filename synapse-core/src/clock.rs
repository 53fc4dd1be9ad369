//! The time of day, for what is signed or expires; everything else uses tokio's clock.

use std::{fmt, time::SystemTime};

/// Tells the time of day. Signed times and expiry use it; intervals, deadlines and limits use tokio's clock, which no
/// operator's `date` moves and tests can pause.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> SystemTime;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
