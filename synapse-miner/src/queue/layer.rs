//! The layer.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{
    Attached, Deadline, Ending, Error, Health, InferenceService, Input, MetricsData, Middleware,
    MiddlewareService, ModuleCapabilities, Next, Output, Pending, Tap, async_trait,
};
use tokio::time::{Instant, timeout_at};
use tower::Layer;

use super::{
    QueueWait,
    line::{Entry, Line, Place, Snapshot},
    refusal::{self, Reason},
};

/// How long a request waits at most, where nobody said otherwise.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Lets requests wait their turn: so many under way, so many in line, first come first served.
///
/// * A place is held until the **body** ends, however it does: complete, broken, or dropped by a client that left.
/// * A request whose [`Deadline`] passes is never started. It leaves the line that moment, with the code
///   `deadline_exceeded`; one that waits longer than [`max_wait`](Self::max_wait) (60 s), with `queue_wait_exceeded`.
/// * Where the line is full, a request is refused at once, with `queue_full` and a [`Retry::After`] made of the mean
///   time that a place was held of late.
/// * A caller who leaves frees his position at once, and a place that was already his goes to the next.
/// * The reply's head carries a [`QueueWait`].
///
/// The state lives in the layer: clones share it, and one of them is what a stack
/// [attaches](synapse_core::Stack::attach), to report health (degraded from nine tenths full), metrics and shutdown. Shut
/// down, it stays closed: whoever starts the miner again makes a queue for it.
///
/// The metrics: `queue.waiting` and `queue.in_flight` now; `queue.admitted`, `queue.abandoned` and `queue.refused` by
/// reason so far; and `queue.waited_seconds_sum`, what those admitted waited together. The sum only grows, and is a gauge
/// nevertheless since counters are whole numbers; divided by `queue.admitted` it is the mean wait.
///
/// [`Retry::After`]: synapse_core::Retry::After
#[derive(Clone)]
pub struct QueueLayer {
    line: Arc<Line>,
    max_wait: Duration,
}

impl QueueLayer {
    /// A line for at most `waiting` requests, before an engine that works on one at a time.
    ///
    /// With a `waiting` of 0 nobody waits: whoever finds no place is refused.
    #[must_use]
    pub fn bounded(waiting: usize) -> Self {
        Self {
            line: Arc::new(Line::new(1, waiting)),
            max_wait: MAX_WAIT,
        }
    }

    /// The same before an engine that works on `requests` at once (at least one). It is a line of its own: set it
    /// before cloning.
    #[must_use]
    pub fn concurrency(self, requests: usize) -> Self {
        Self {
            line: Arc::new(Line::new(requests.max(1), self.line.bound())),
            max_wait: self.max_wait,
        }
    }

    /// The same where nobody waits longer than this, instead of 60 s; with [`Duration::MAX`] only deadlines bound the
    /// wait.
    #[must_use]
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.max_wait = limit;
        self
    }

    /// How many requests wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line.snapshot().waiting
    }

    /// How many requests are under way now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.line.snapshot().in_flight
    }

    async fn place(&self, deadline: Option<Instant>) -> Result<(Place, QueueWait), Error> {
        let entered = Instant::now();
        if deadline.is_some_and(|end| end <= entered) {
            self.line.refuse(Reason::Deadline);
            return Err(refusal::expired(0, Duration::ZERO));
        }
        let mut ticket = match self.line.enter() {
            Ok(Entry::Started(place)) => return Ok((place, QueueWait::new(0, Duration::ZERO))),
            Ok(Entry::Waits(ticket)) => ticket,
            Err(reason) => return Err(self.refused(reason)),
        };
        let position = ticket.position();
        let patience = entered.checked_add(self.max_wait);
        let place = match deadline.into_iter().chain(patience).min() {
            Some(limit) => timeout_at(limit, ticket.granted()).await,
            None => Ok(ticket.granted().await),
        };
        let waited = entered.elapsed();
        // The place and the deadline may have come together: what is expired is not started.
        if deadline.is_some_and(|end| end <= Instant::now()) {
            ticket.give_up(Reason::Deadline);
            return Err(refusal::expired(position, waited));
        }
        match place {
            Ok(Some(place)) => Ok((place, QueueWait::new(position, waited))),
            // Counted where the line was closed.
            Ok(None) => Err(refusal::closed()),
            Err(_) => {
                ticket.give_up(Reason::MaxWait);
                Err(refusal::waited_enough(
                    position,
                    waited,
                    self.line.expected_wait(),
                ))
            }
        }
    }

    fn refused(&self, reason: Reason) -> Error {
        match reason {
            Reason::Closed => refusal::closed(),
            _ => {
                let now = self.line.snapshot();
                refusal::full(now.waiting, now.in_flight, self.line.expected_wait())
            }
        }
    }
}

impl fmt::Debug for QueueLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot {
            waiting,
            in_flight,
            bound,
            ..
        } = self.line.snapshot();
        f.debug_struct("QueueLayer")
            .field("waiting", &waiting)
            .field("bound", &bound)
            .field("in_flight", &in_flight)
            .field("concurrency", &self.line.places())
            .field("max_wait", &self.max_wait)
            .finish()
    }
}

impl<S> Layer<S> for QueueLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for QueueLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        let deadline = input
            .extensions()
            .get::<Deadline>()
            .map(|deadline| deadline.instant());
        let (place, wait) = self.place(deadline).await?;
        self.line.admit(wait.waited());
        let held = Pending::new(Held {
            line: self.line.clone(),
            since: Instant::now(),
            _place: place,
        });
        let mut output = held.settle(next.run(input).await)?;
        output.head.extensions_mut().insert(wait);
        Ok(output)
    }
}

/// A place, until the body ends: the tap is let go then, and the place with it.
struct Held {
    line: Arc<Line>,
    since: Instant,
    _place: Place,
}

impl Tap for Held {
    fn on_end(&mut self, ending: &Ending) {
        // Who left early, or failed at once, says nothing of how long an answer takes.
        if matches!(ending, Ending::Complete) {
            self.line.observe_hold(self.since.elapsed());
        }
    }
}

#[async_trait]
impl Attached for QueueLayer {
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        let places = u32::try_from(self.line.places()).unwrap_or(u32::MAX);
        let narrowest = capabilities.concurrency.map_or(places, |other| other.min(places));
        capabilities.concurrency = Some(narrowest);
    }

    fn health(&self) -> Health {
        let now = self.line.snapshot();
        match now.crowded_since {
            Some(since) if now.waiting > 0 => {
                let reason = format!(
                    "{} of {} positions in the queue are taken",
                    now.waiting, now.bound
                );
                Health::degraded(reason).since(since)
            }
            _ => Health::ready(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        let Snapshot {
            waiting,
            in_flight,
            counts,
            ..
        } = self.line.snapshot();
        metrics.gauge("queue.waiting", waiting as f64);
        metrics.gauge("queue.in_flight", in_flight as f64);
        metrics.counter("queue.admitted", counts.admitted);
        metrics.counter("queue.abandoned", counts.abandoned);
        metrics.gauge("queue.waited_seconds_sum", counts.waited.as_secs_f64());
        for reason in Reason::ALL {
            metrics.counter_of(
                "queue.refused",
                &[("reason", reason.as_str())],
                counts.refused(reason),
            );
        }
    }

    /// Refuses whoever comes and whoever waits, from now on for good. Requests under way end with their bodies: drain them first.
    async fn shutdown(&self) -> Result<(), Error> {
        self.line.close();
        Ok(())
    }
}
