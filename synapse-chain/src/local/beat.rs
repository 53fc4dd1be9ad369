//! A clock that asks for blocks.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::engine::Engine;

/// Asks for a block each time the interval passes, for as long as the answer is yes.
pub(super) fn start(interval: Duration, mut ask: impl FnMut() -> bool + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !ask() {
                return;
            }
        }
    })
}

/// Makes the clock's blocks; no more once the engine's owner is dropped, whom this does not keep alive.
pub(super) fn of(engine: &Arc<Engine>) -> impl FnMut() -> bool + Send + use<> {
    let engine = Arc::downgrade(engine);
    move || {
        let Some(engine) = engine.upgrade() else {
            return false;
        };
        if let Err(error) = engine.tick() {
            tracing::debug!(%error, "no block was made");
        }
        true
    }
}
