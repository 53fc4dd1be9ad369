//! The layer.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synapse_core::{
    Attached, Capacity, Ending, Error, ErrorKind, Health, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, Next, Output, Pending, Tap, async_trait,
};
use tokio::time::Instant;
use tower::Layer;
use tracing::{info, warn};

use super::circuit::{Circuit, Closure, Passage, State, Terms, Verdict};

/// Nobody is told to come back sooner than this.
const SOONEST: Duration = Duration::from_secs(1);
/// Nor is an engine left alone for longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Leaves an engine alone that fails, and tries it again after a while.
///
/// * **Closed**, it lets everybody through and counts. It opens after 5 failures in a row, or where at least half of the
///   endings in the last 30 s, and at least 20 of them, were failures.
/// * **Open**, it refuses at once with the code `circuit_open`, which says when the next try is due: 1 s after it opened,
///   twice as long each time after, up to 5 s.
/// * **Half open**, it lets one request through at a time. Where that one's reply begins, it closes on trial: others
///   follow, a failure opens it at once, and a complete reply ends the trial.
///
/// A failure is an error of the kinds timeout, unavailable, broken and internal, before the reply or in the middle of its
/// body. Refusals are none: overloaded, rate limited, whatever is the caller's fault, and whatever says when to come back.
/// Nor is a client who left. None of these closes it either.
///
/// The state lives in the layer: clones share it. [Attached](synapse_core::Stack::attach), it reports health (unhealthy and
/// without places while open, degraded while it is tried) and metrics: `breaker.state` (0 closed, 1 on trial or half open, 2
/// open), `breaker.opened`, `breaker.failures`, `breaker.refused`. Once a try is due it is degraded and no longer unhealthy:
/// whoever asks nobody unhealthy would never let it try.
#[derive(Clone)]
pub struct CircuitBreakerLayer {
    circuit: Arc<Mutex<Circuit>>,
    terms: Terms,
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::with_terms(Terms::default())
    }
}

impl CircuitBreakerLayer {
    fn with_terms(terms: Terms) -> Self {
        Self {
            circuit: Arc::new(Mutex::new(Circuit::new(terms, Instant::now()))),
            terms,
        }
    }

    /// The same opening after so many failures in a row (at least one) instead of 5. It is a circuit of its own: set it
    /// before cloning.
    #[must_use]
    pub fn consecutive(self, failures: u32) -> Self {
        Self::with_terms(Terms {
            in_a_row: failures.max(1),
            ..self.terms
        })
    }

    /// The same opening where this part of at least `requests` endings within `window` were failures, instead of 0.5 of 20
    /// within 30 s. Of a window 256 endings are remembered. It is a circuit of its own: set it before cloning.
    #[must_use]
    pub fn ratio(self, failures: f64, requests: usize, window: Duration) -> Self {
        Self::with_terms(Terms {
            ratio: failures.clamp(0.0, 1.0),
            at_least: requests.max(1),
            window,
            ..self.terms
        })
    }

    /// The same staying open for `first`, and `longest` at most, instead of 1 s and 5 s; a day at the longest. It is a
    /// circuit of its own: set it before cloning.
    #[must_use]
    pub fn backoff(self, first: Duration, longest: Duration) -> Self {
        Self::with_terms(Terms {
            first: first.min(LONGEST),
            longest: longest.max(first).min(LONGEST),
            ..self.terms
        })
    }

    /// Whether it refuses now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(lock(&self.circuit).state(Instant::now()), State::Open { .. })
    }
}

impl fmt::Debug for CircuitBreakerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("state", &lock(&self.circuit).state(Instant::now()))
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for CircuitBreakerLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let passage = lock(&self.circuit).pass(Instant::now()).map_err(refusal)?;
        let pending = Pending::new(Watched {
            circuit: self.circuit.clone(),
            passage,
        });
        let result = next.run(input).await;
        if result.is_ok() {
            lock(&self.circuit).began(passage, Instant::now());
        }
        pending.settle(result)
    }
}

/// A request that was let through, until its body ends.
struct Watched {
    circuit: Arc<Mutex<Circuit>>,
    passage: Passage,
}

impl Tap for Watched {
    fn on_end(&mut self, ending: &Ending) {
        let verdict = match ending {
            Ending::Complete => Verdict::Complete,
            Ending::Broken(error) if is_failure(error) => Verdict::Failed(error.code().to_owned()),
            _ => Verdict::Nothing,
        };
        let now = Instant::now();
        let mut circuit = lock(&self.circuit);
        let before = circuit.state(now);
        let opened = circuit.end(self.passage, verdict, now);
        let after = circuit.state(now);
        if opened {
            warn!(
                failure = circuit.last(),
                "the engine failed too often, and is left alone for a while"
            );
        } else if before != State::Closed && after == State::Closed {
            info!("the engine answers again");
        }
    }
}

/// Whether it says that the engine is not well.
fn is_failure(error: &Error) -> bool {
    let failed = matches!(
        error.kind(),
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Broken | ErrorKind::Internal
    );
    failed && error.retry_after().is_none()
}

fn refusal(closure: Closure) -> Error {
    let Closure { wait, last } = closure;
    let message = if wait.is_zero() {
        format!(
            "the engine failed too often, the last time with {last}, and is being tried with another request"
        )
    } else {
        format!(
            "the engine failed too often, the last time with {last}, and is left alone for another {wait:?}"
        )
    };
    let seconds = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Error::unavailable("circuit_open", message)
        .with_retry_after(seconds.max(SOONEST))
        .with_hint("ask another miner, or retry after the time given; the operator finds the cause in the engine's log")
}

fn lock(circuit: &Mutex<Circuit>) -> MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Attached for CircuitBreakerLayer {
    fn health(&self) -> Health {
        let circuit = lock(&self.circuit);
        let (since, last) = (circuit.since(), circuit.last());
        match circuit.state(Instant::now()) {
            State::Closed => Health::ready(),
            State::Open { .. } => Health::unhealthy(format!(
                "the engine failed too often, the last time with {last}, and is left alone for a while"
            ))
            .with_capacity(Capacity::new(0, 0))
            .since(since),
            State::HalfOpen { tried } => Health::degraded(format!(
                "the engine failed with {last}, and the next request tries it"
            ))
            .with_capacity(Capacity::new(1, u32::from(tried)))
            .since(since),
            State::OnTrial => Health::degraded(format!(
                "the engine failed with {last}, and begins to answer again"
            ))
            .since(since),
        }
    }

    fn metrics(&self, metrics: &mut MetricsData) {
        let circuit = lock(&self.circuit);
        let state = match circuit.state(Instant::now()) {
            State::Closed => 0.0,
            State::OnTrial | State::HalfOpen { .. } => 1.0,
            State::Open { .. } => 2.0,
        };
        let counts = circuit.counts();
        metrics.gauge("breaker.state", state);
        metrics.counter("breaker.opened", counts.opened);
        metrics.counter("breaker.failures", counts.failures);
        metrics.counter("breaker.refused", counts.refused);
    }
}
