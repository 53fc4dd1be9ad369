//! How often something is asked for.

use std::time::Duration;

use tokio::time::Instant;

/// After this long what was counted counts 1/e.
const MEMORY: Duration = Duration::from_secs(300);

/// Requests a second, of late: each counts less the longer ago it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn none() -> Self {
        Self {
            per_second: 0.0,
            at: Instant::now(),
        }
    }

    pub(super) fn count(&mut self) {
        self.per_second = self.now() + 1.0 / MEMORY.as_secs_f64();
        self.at = Instant::now();
    }

    pub(super) fn now(&self) -> f64 {
        self.per_second * (-self.at.elapsed().as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}
