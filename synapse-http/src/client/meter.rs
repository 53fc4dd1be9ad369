//! What a client counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use synapse_core::{Ending, Error, MetricsData, Tap};

/// How many codes have a count of their own: servers choose some of them.
const CODES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    in_flight: AtomicI64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Meter {
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Some(self.clone()))
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn failed(&self, error: &Error) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let known = errors.contains_key(error.code()) || errors.len() < CODES;
        let code = if known { error.code() } else { "other" };
        *errors.entry(code.to_owned()).or_default() += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 requests in flight")]
    pub(super) fn report(&self, metrics: &mut MetricsData) {
        metrics.counter("client.requests", self.requests.load(Relaxed));
        metrics.gauge("client.in_flight", self.in_flight.load(Relaxed) as f64);
        metrics.counter("client.received_bytes", self.bytes.load(Relaxed));
        metrics.counter("client.dropped", self.dropped.load(Relaxed));
        for (code, count) in &*self.errors.lock().unwrap_or_else(PoisonError::into_inner) {
            metrics.counter_of("client.errors", &[("code", code)], *count);
        }
    }
}

/// A request under way, from its start to the end of its body; dropped before that, its caller left.
#[derive(Debug)]
pub(super) struct InFlight(Option<Arc<Meter>>);

impl Tap for InFlight {
    fn on_end(&mut self, ending: &Ending) {
        if let Some(meter) = &self.0 {
            match ending {
                Ending::Broken(error) => meter.failed(error),
                Ending::Dropped => drop(meter.dropped.fetch_add(1, Relaxed)),
                Ending::Complete => {}
            }
        }
        self.end();
    }
}

impl InFlight {
    fn end(&mut self) {
        if let Some(meter) = self.0.take() {
            meter.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.on_end(&Ending::Dropped);
        }
    }
}
