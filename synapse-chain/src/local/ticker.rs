//! The clock that makes blocks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval_at},
};

use super::State;

/// A task that makes blocks, and ends with its owner.
#[derive(Debug)]
pub(super) struct Ticker(JoinHandle<()>);

impl Ticker {
    pub(super) fn start(interval: Duration, state: &Arc<Mutex<State>>) -> Self {
        let state = Arc::downgrade(state);
        let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(state) = state.upgrade() else { return };
                state.lock().expect("no operation panics halfway").advance(1);
            }
        }))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
