//! Stored epochs that cannot be read.

use std::{sync::Arc, time::Duration};

use synapse_core::EpochId;
use tokio::time::{Instant, sleep};

use super::{alert::AlertCode, shared::Shared};
use crate::judge::Validator;

/// Epochs that an alert names.
const NAMED: usize = 3;
/// Pause after each of the old epochs that are looked at as the node begins.
const BETWEEN: Duration = Duration::from_millis(10);
/// One that takes a second is followed by so many seconds without one.
const REST: u32 = 9;

/// The epochs that were set aside since the open one was begun, and why.
#[derive(Debug, Default)]
pub(super) struct Corrupt(Vec<(EpochId, String)>);

impl Corrupt {
    /// Tells the operator what was found: each in the log, all of them in one alert.
    pub(super) fn tell<V: Validator>(&mut self, shared: &Shared<V>) {
        let found = shared.state.set_aside();
        if found.is_empty() {
            return;
        }
        for (epoch, why) in &found {
            tracing::warn!(%epoch, why, "what was stored of an epoch was set aside");
        }
        self.0.extend(found);
        let first = self.0.first().map(|(epoch, _)| *epoch);
        shared
            .alerts
            .raise(AlertCode::StateCorrupt, first, text_of(&self.0));
    }

    /// Another epoch begins.
    pub(super) fn over<V: Validator>(&mut self, shared: &Shared<V>) {
        self.0.clear();
        shared.alerts.clear(AlertCode::StateCorrupt);
    }
}

/// Finds what cannot be read of the epochs before the most recent ones, which nobody asks for. Holds up nobody.
pub(super) async fn look_through<V: Validator>(shared: Arc<Shared<V>>, recent: usize) {
    for epoch in shared.state.epochs().into_iter().rev().skip(recent) {
        let began = Instant::now();
        // What a disk fails with is said where something is stored.
        let _ = shared.state.fetch(epoch).await;
        sleep((began.elapsed() * REST).max(BETWEEN)).await;
    }
}

fn text_of(found: &[(EpochId, String)]) -> String {
    if let [(_, why)] = found {
        return why.clone();
    }
    let named: Vec<_> = found
        .iter()
        .take(NAMED)
        .map(|(epoch, _)| epoch.to_string())
        .collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} stored epochs cannot be read, and were set aside: {}{more}",
        found.len(),
        named.join(", ")
    )
}
