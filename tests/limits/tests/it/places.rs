//! Two places for the same accounts, and what is done with them: this process with a clock that stands still until it is
//! told, and a real Redis whose clock does.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::stream;
use parts::redis::OwnRedis;
use synapse_core::{
    Attached, Body, Chunk, Delta, Input, Message, MetricsData, ModuleExt, Output, Prompt, Request, Stack,
    Task, WallClock, testkit::Scripted,
};
use synapse_validator::rate_limit::{Limits, RateLimitLayer, SharedLimits, WhenAway};
use tokio::time::{Instant, sleep};

/// 2026-11-30 at 23:00 UTC, when every clock here begins.
pub(crate) const BEGAN: Duration = Duration::from_secs(1_796_079_600);
/// Longer than anything takes that goes well, on a machine with too much to do.
pub(crate) const LONG: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_hours(24);

/// Where accounts are, and their clock.
pub(crate) trait Place {
    /// A gateway's layer over these accounts.
    fn layer(&self, limits: Limits) -> impl Future<Output = RateLimitLayer>;
    /// Lets so many whole microseconds pass.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// This process: each layer has accounts of its own. Its runtime must be paused.
#[derive(Debug)]
pub(crate) struct InProcess;

impl Place for InProcess {
    async fn layer(&self, limits: Limits) -> RateLimitLayer {
        RateLimitLayer::new(limits).clock(Wall)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

/// A Redis that all layers share.
#[derive(Debug)]
pub(crate) struct InRedis {
    /// The server, to be killed or asked.
    pub redis: OwnRedis,
    now: Cell<Duration>,
}

impl InRedis {
    /// An empty one.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self {
            redis: OwnRedis::start_at(BEGAN),
            now: Cell::new(BEGAN),
        }
    }

    /// Sets its wall clock forward or back.
    pub(crate) fn jump(&self, to: impl FnOnce(Duration) -> Duration) {
        self.now.set(to(self.now.get()));
        self.redis.set_clock(self.now.get());
    }
}

impl Place for InRedis {
    async fn layer(&self, limits: Limits) -> RateLimitLayer {
        // Longer than any trace takes by its own clock: what is settled too late gives nothing back.
        let patient = |shared: SharedLimits| shared.reply_within(LONG).reservations_for(100 * DAY);
        shared(&self.redis, limits, patient).await
    }

    async fn pass(&self, time: Duration) {
        self.jump(|now| now + time);
    }
}

/// A gateway's layer that shares its limits in this Redis, once it is connected.
///
/// # Panics
/// Where it does not connect.
pub(crate) async fn shared(
    redis: &OwnRedis,
    limits: Limits,
    set: impl FnOnce(SharedLimits) -> SharedLimits,
) -> RateLimitLayer {
    let shared = SharedLimits::at(redis.url())
        .expect("its address")
        .when_away(WhenAway::Closed);
    let layer = RateLimitLayer::new(limits).shared(set(shared));
    until("it is connected", || metric(&layer, "rate_limit.shared") == 1).await;
    layer
}

/// The number of a metric.
///
/// # Panics
/// Where there is none.
#[must_use]
pub(crate) fn metric(layer: &RateLimitLayer, name: &str) -> u64 {
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    let value = metrics.get(name, &[]).unwrap_or_else(|| panic!("no {name}"));
    format!("{value}").parse().expect("a whole number")
}

/// Waits until everything that ended is settled.
pub(crate) async fn settled(layer: &RateLimitLayer) {
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    if metrics.get("rate_limit.settlements_waiting", &[]).is_some() {
        until("all is settled", || {
            metric(layer, "rate_limit.settlements_waiting") == 0
        })
        .await;
    }
}

/// Waits for a condition.
///
/// # Panics
/// Where it does not come about.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LONG, "{what}: not after {LONG:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// A module that says as many words, of a token each, as its request's seed tells it.
pub(crate) fn speaking(layer: RateLimitLayer) -> Stack<impl synapse_core::InferenceService, Scripted> {
    Scripted::new(|input| async move {
        let words = input.params()?.seed.unwrap_or(0);
        let chunks: Vec<_> = (0..words)
            .map(|at| {
                let chunk = Chunk::delta(Delta::text("word"));
                Ok(if at + 1 == words { chunk.into_last() } else { chunk })
            })
            .collect();
        Ok(Output::new(Body::new(stream::iter(chunks))))
    })
    .with(layer)
}

/// What a prompt here takes: `user` and `hello`, at four bytes a token.
pub(crate) const PROMPT: u32 = 3;

/// A request that may take so many tokens, of which its reply takes `words`.
///
/// # Panics
/// Where it takes less than its prompt.
#[must_use]
pub(crate) fn ask(tokens: u32, words: u32) -> Input {
    let request = Request::new("m", Prompt::Messages(vec![Message::user("hello")])).with_params(|params| {
        params.max_tokens = Some(tokens.checked_sub(PROMPT).expect("more than its prompt"));
        params.seed = Some(i64::from(words));
    });
    Input::from_request(Task::CHAT, request)
}

/// The machine's time of day, as it was when everything here began.
#[derive(Debug)]
struct Wall;

impl WallClock for Wall {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + BEGAN
    }
}
