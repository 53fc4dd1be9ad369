//! The layer.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{
    Attached, Capacity, Chunk, Deadline, Ending, Error, Health, InferenceService, Input, MetricsData,
    Middleware, MiddlewareService, ModuleCapabilities, Next, Output, Pending, QueueWait, Tap, async_trait,
};
use tokio::time::{Instant, timeout_at};
use tower::Layer;

use super::{
    Priority, QueueCaller, QueueStatus,
    asker::{Asker, Claim},
    governor::Governor,
    line::{Entry, Line, Place, Snapshot},
    refusal::{self, Reason},
    tokens::{Count, Guess},
};

/// How long a request waits at most, where nobody said otherwise.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How many callers are told apart, where nobody said otherwise.
const CALLERS: usize = 1024;

/// Lets requests wait their turn: so many under way, so many in line, shared fairly between callers.
///
/// * **Fair.** Each caller has a line of his own: the node of a [`Standing`](crate::access::Standing), else the
///   [`Caller`](synapse_core::Caller), else all together. Places go to them by deficit round robin over tokens, in
///   proportion to stake: equal stakes get equal tokens, and whoever has little or nothing at stake still a 64th of what
///   the highest stake gets. A request's tokens are guessed (a quarter of its prompt's bytes, and what the reply may have)
///   and corrected by what it took. Within a line it is first come first served, by [`Priority`].
/// * A place is held until the **body** ends, however it does: complete, broken, or dropped by a client that left.
/// * A request whose [`Deadline`] passes is never started. It leaves the line that moment, with the code
///   `deadline_exceeded`; one that waits longer than [`max_wait`](Self::max_wait) (60 s), with `queue_wait_exceeded`. One
///   that would have to wait is refused at once, with `deadline_unreachable`, where the expected wait and twice the time
///   that requests of its size take are more than it has; and leaves the line, with the same code, once less than that
///   time is left. Whoever finds a free place is started whatever his deadline.
/// * Where the line is full, a request is refused at once, with `queue_full` and a [`Retry::After`] made of the mean
///   time that a place was held of late; unless another caller's line is longer for his stake, whose newest request is then
///   sent away with `queue_displaced`. So a flood pushes out nobody but itself.
/// * A caller who leaves frees his position at once, and a place that was already his goes to the next.
/// * The reply's head carries a [`QueueWait`], which a router says in its headers, and [`status`](Self::status) shows who waits.
///
/// The state lives in the layer: clones share it, and one of them is what a stack
/// [attaches](synapse_core::Stack::attach), to report health (degraded from nine tenths full), capacity, metrics and
/// shutdown. Shut down, it stays closed: whoever starts the miner again makes a queue for it.
///
/// The metrics: `queue.places`, `queue.waiting` and `queue.in_flight` now; `queue.admitted`, `queue.abandoned` and
/// `queue.refused` by reason so far; and `queue.waited_seconds_sum`, what those admitted waited together. The sum only
/// grows, and is a gauge nevertheless since counters are whole numbers; divided by `queue.admitted` it is the mean wait.
///
/// [`Retry::After`]: synapse_core::Retry::After
#[derive(Clone)]
pub struct QueueLayer {
    line: Arc<Line>,
    bound: usize,
    /// How many places there are, where somebody said so.
    places: Option<usize>,
    callers: usize,
    max_wait: Duration,
}

impl QueueLayer {
    /// A line for at most `waiting` requests, before an engine that works on one at a time; once attached, on as many as
    /// its module [says](ModuleCapabilities::concurrency).
    ///
    /// With a `waiting` of 0 nobody waits: whoever finds no place is refused.
    #[must_use]
    pub fn bounded(waiting: usize) -> Self {
        Self {
            line: Arc::new(Line::new(1, waiting, CALLERS)),
            bound: waiting,
            places: None,
            callers: CALLERS,
            max_wait: MAX_WAIT,
        }
    }

    /// The same before an engine that works on `requests` at once (at least one), whatever its module says. It is a line
    /// of its own: set it before cloning.
    #[must_use]
    pub fn concurrency(self, requests: usize) -> Self {
        let places = Some(requests.max(1));
        Self { places, ..self }.fresh()
    }

    /// The same, telling this many callers apart (at least one) instead of 1,024: those who come while as many have
    /// requests here share one line, as if they had nothing at stake. It is a line of its own: set it before cloning.
    #[must_use]
    pub fn callers(self, most: usize) -> Self {
        let callers = most.max(1);
        Self { callers, ..self }.fresh()
    }

    /// The same where nobody waits longer than this, instead of 60 s; with [`Duration::MAX`] only deadlines bound the
    /// wait.
    #[must_use]
    pub fn max_wait(mut self, limit: Duration) -> Self {
        self.max_wait = limit;
        self
    }

    fn fresh(self) -> Self {
        let line = Line::new(self.places.unwrap_or(1), self.bound, self.callers);
        Self {
            line: Arc::new(line),
            ..self
        }
    }

    /// So many places (at least one) from now on, here and in every clone, whatever [`concurrency`](Self::concurrency) or
    /// the module say. What is under way goes on.
    pub fn set_places(&self, requests: usize) {
        self.line.steer(requests);
    }

    /// The queue at this moment, with everybody who waits.
    #[must_use]
    pub fn status(&self) -> QueueStatus {
        let now = self.line.snapshot();
        let anybody = Claim {
            asker: Asker::Anybody,
            stake: 0,
            priority: Priority::default(),
            cost: 1,
        };
        let accounts = self.line.accounts().into_iter();
        QueueStatus {
            places: now.places,
            in_flight: now.in_flight,
            waiting: now.waiting,
            bound: now.bound,
            expected_wait: if now.in_flight < now.places {
                Duration::ZERO
            } else {
                self.line.expected_wait(&anybody)
            },
            callers: accounts
                .map(|account| QueueCaller {
                    caller: account.asker.name().to_owned(),
                    stake: account.stake,
                    waiting: account.waiting,
                    in_flight: account.busy,
                    balance: account.balance,
                })
                .collect(),
        }
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

    async fn place(&self, claim: &Claim, deadline: Option<Instant>) -> Result<(Place, QueueWait), Error> {
        let entered = Instant::now();
        if deadline.is_some_and(|end| end <= entered) {
            self.line.refuse(Reason::Deadline);
            return Err(refusal::expired(0, Duration::ZERO));
        }
        let mut ticket = match self.line.enter(claim, deadline) {
            Ok(Entry::Started(place)) => return Ok((place, QueueWait::default())),
            Ok(Entry::Waits(ticket)) => ticket,
            Err(reason) => return Err(self.refused(reason, claim)),
        };
        let (position, expected) = (ticket.position(), ticket.expected());
        let patience = entered.checked_add(self.max_wait);
        // Started later than this, it would not be over in time.
        let latest = deadline.map(|end| {
            let needs = self.line.needs(claim.cost).unwrap_or_default();
            end.checked_sub(needs).unwrap_or(entered)
        });
        let place = match latest.into_iter().chain(patience).min() {
            Some(limit) => timeout_at(limit, ticket.granted()).await,
            None => Ok(ticket.granted().await),
        };
        let (now, waited) = (Instant::now(), entered.elapsed());
        let wait = || self.line.expected_wait(claim);
        // Counted where that was decided.
        if let Ok(Err(reason)) = place {
            return Err(match reason {
                Reason::Displaced => refusal::displaced(position, waited, wait()),
                _ => refusal::closed(),
            });
        }
        // The place and the deadline may have come together: what is expired is not started.
        if deadline.is_some_and(|end| end <= now) {
            ticket.give_up(Reason::Deadline);
            return Err(refusal::expired(position, waited));
        }
        let needs = || self.line.needs(claim.cost).unwrap_or_default();
        if latest.is_some_and(|latest| latest <= now) || deadline.is_some_and(|end| end - now < needs()) {
            ticket.give_up(Reason::Unreachable);
            return Err(refusal::unreachable(Some(waited), wait()));
        }
        if let Ok(Ok(place)) = place {
            return Ok((place, QueueWait::new(position, expected, waited)));
        }
        ticket.give_up(Reason::MaxWait);
        Err(refusal::waited_enough(position, waited, wait()))
    }

    /// The error of somebody who did not come in.
    fn refused(&self, reason: Reason, claim: &Claim) -> Error {
        let wait = self.line.expected_wait(claim);
        match reason {
            Reason::Closed => refusal::closed(),
            Reason::Unreachable => refusal::unreachable(None, wait),
            _ => {
                let now = self.line.snapshot();
                refusal::full(now.waiting, now.in_flight, wait)
            }
        }
    }
}

impl fmt::Debug for QueueLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot {
            places,
            waiting,
            in_flight,
            bound,
            ..
        } = self.line.snapshot();
        f.debug_struct("QueueLayer")
            .field("waiting", &waiting)
            .field("bound", &bound)
            .field("in_flight", &in_flight)
            .field("concurrency", &places)
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
        let extensions = input.extensions();
        if let Some(governor) = extensions.get::<Governor>() {
            governor.lead(&self.line);
        }
        let deadline = extensions.get::<Deadline>().map(|deadline| deadline.instant());
        let guess = Guess::of(&input);
        let claim = Claim::of(&input, guess.total());
        let (mut place, wait) = self.place(&claim, deadline).await?;
        self.line.admit(wait.waited());
        // Who leaves before the first word has had his prompt read.
        place.used(guess.input);
        let held = Pending::new(Held {
            line: self.line.clone(),
            since: Instant::now(),
            cost: claim.cost,
            count: Count::new(guess),
            place,
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
    cost: u64,
    count: Count,
    place: Place,
}

impl Tap for Held {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.count.on_chunk(chunk);
    }

    fn on_end(&mut self, ending: &Ending) {
        self.place.used(self.count.usage().total());
        // Who left early, or failed at once, says nothing of how long an answer takes.
        if matches!(ending, Ending::Complete) {
            self.line.observe_hold(self.since.elapsed(), self.cost);
        }
    }
}

#[async_trait]
impl Attached for QueueLayer {
    /// Narrows what the module says it works on at once; where nobody set that here, takes it over. Places that are
    /// [set](QueueLayer::set_places) as things go are no part of what it can do, but of its capacity.
    fn capabilities(&self, capabilities: &mut ModuleCapabilities) {
        if self.line.is_steered() {
            return;
        }
        let places = match (self.places, capabilities.concurrency) {
            (Some(places), Some(inner)) => u32::try_from(places).unwrap_or(u32::MAX).min(inner),
            (Some(places), None) => u32::try_from(places).unwrap_or(u32::MAX),
            (None, Some(inner)) => {
                self.line.adopt(inner as usize);
                inner
            }
            (None, None) => 1,
        };
        capabilities.concurrency = Some(places);
    }

    fn health(&self) -> Health {
        let now = self.line.snapshot();
        let health = match now.crowded_since {
            Some(since) if now.waiting > 0 => {
                let reason = format!(
                    "{} of {} positions in the queue are taken",
                    now.waiting, now.bound
                );
                Health::degraded(reason).since(since)
            }
            _ => Health::ready(),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        health.with_capacity(
            Capacity::new(count(now.places), count(now.in_flight)).with_waiting(count(now.waiting)),
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        let Snapshot {
            places,
            waiting,
            in_flight,
            counts,
            ..
        } = self.line.snapshot();
        metrics.gauge("queue.places", places as f64);
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
