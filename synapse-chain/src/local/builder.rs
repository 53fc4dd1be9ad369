//! A chain with a clock.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{LocalChain, State, Ticker};

/// Configures a [`LocalChain`].
#[derive(Debug, Clone, Default)]
pub struct LocalChainBuilder {
    block_time: Option<Duration>,
}

impl LocalChainBuilder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Makes a block each time this passes, at least a millisecond.
    #[must_use]
    pub fn block_time(mut self, interval: Duration) -> Self {
        self.block_time = Some(interval.max(Duration::from_millis(1)));
        self
    }

    /// The chain.
    ///
    /// # Panics
    /// With a block time and outside a tokio runtime.
    #[must_use]
    pub fn build(self) -> LocalChain {
        let state: Arc<Mutex<State>> = Arc::default();
        let ticker = self
            .block_time
            .map(|interval| Arc::new(Ticker::start(interval, &state)));
        LocalChain {
            state,
            _ticker: ticker,
        }
    }
}
