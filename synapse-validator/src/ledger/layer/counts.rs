//! What the layer counts.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use synapse_core::{Error, MetricsData};

use crate::ledger::{Closing, EntryId};

/// Codes of refusals that are counted apart.
const CODES: usize = 64;

/// What the layer counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    open: AtomicU64,
    /// By outcome, in the order of [`OUTCOMES`].
    rows: [AtomicU64; OUTCOMES.len()],
    charged: AtomicU64,
    unwritten: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
}

/// How requests end that this process lives to see.
const OUTCOMES: [&str; 4] = ["complete", "broken", "left", "failed"];

impl Counts {
    pub(super) fn refused(&self, code: &str) {
        let mut refused = lock(&self.refused);
        let known = refused.contains_key(code) || refused.len() < CODES;
        let code = if known { code } else { "other" };
        *refused.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, closing: &Closing) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        let outcome = closing.outcome.as_str();
        if let Some(row) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.rows[row].fetch_add(1, Ordering::Relaxed);
        }
        self.charged.fetch_add(closing.charge.0, Ordering::Relaxed);
    }

    pub(super) fn failed_to_close(&self, entry: EntryId, error: &Error) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        tracing::error!(entry = entry.0, %error, "a request could not be closed in the ledger; it is billed nothing");
        self.failed_to_write();
    }

    pub(super) fn failed_to_write(&self) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    pub(super) fn report(&self, metrics: &mut MetricsData, held: u128) {
        metrics.gauge("ledger.open", self.open.load(Ordering::Relaxed) as f64);
        metrics.gauge("ledger.held", held as f64);
        metrics.counter("ledger.charged", self.charged.load(Ordering::Relaxed));
        metrics.counter("ledger.unwritten", self.unwritten.load(Ordering::Relaxed));
        for (outcome, count) in OUTCOMES.iter().zip(&self.rows) {
            metrics.counter_of(
                "ledger.rows",
                &[("outcome", outcome)],
                count.load(Ordering::Relaxed),
            );
        }
        for (code, count) in &*lock(&self.refused) {
            metrics.counter_of("ledger.refused", &[("code", code)], *count);
        }
    }
}

fn lock(refused: &Mutex<BTreeMap<String, u64>>) -> MutexGuard<'_, BTreeMap<String, u64>> {
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}
