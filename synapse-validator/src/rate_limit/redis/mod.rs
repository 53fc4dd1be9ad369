//! Accounts that several gateways share, in Redis.

mod link;
mod script;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Client, aio::MultiplexedConnection};
use synapse_core::{Error, Health, MetricsData, Retry};
use tokio::time::{Instant, sleep, timeout};

pub(super) use self::script::ReservationId;
use self::{
    link::{Link, Outbox},
    script::{Answer, Scripts},
};
use super::{
    demand::{Cost, Demands},
    local::Local,
    store::{Accounts, Granted, Receipt},
    verdict::{self, Refused},
};

/// When to come back while the limits cannot be looked up.
const COME_BACK: Duration = Duration::from_secs(1);
/// How long a request that was given up keeps Redis from letting it in late.
const CALLED_OFF: Duration = Duration::from_mins(1);
/// How long what is left to settle may take at the end.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

/// Limits that several gateways share, in one Redis (version 7; no cluster).
///
/// A request is one script in one round trip, which takes from all windows or from none, by Redis' own time: that goes on
/// as Redis' clock does and stands still where the clock is set back, so that setting it forward gives at most one burst.
/// What a reply did not use is given back by and by, through an outbox of bounded length; a reservation that nobody
/// settles, because its gateway died, counts as used: windows refill, and a budget begins anew with its next day or month.
/// Everything that is kept there expires by itself; nothing else bounds how many accounts there are, so give Redis a
/// `maxmemory` (and no eviction, which would give quotas back): a full one counts as away. Accounts are named by callers,
/// keys, models and addresses in plain.
///
/// While Redis does not answer, every gateway does what [`when_away`](Self::when_away) says, its health is degraded, and
/// what is settled waits in the outbox. A Redis that comes back without its data begins all accounts anew; what was
/// reserved before gives nothing back then.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    client: Client,
    prefix: String,
    reply_within: Duration,
    when_away: WhenAway,
    reservations_for: Duration,
    outbox: usize,
}

/// What a gateway does while it cannot reach the limits that it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Holds everybody to so many percent of each window, counted by itself: 100 divided by the number of gateways keeps
    /// them within the limits together.
    Alone {
        /// From 1 to 100.
        percent: u8,
    },
    /// Refuses every request with `limits_unavailable`.
    Closed,
}

impl SharedLimits {
    /// Limits in the Redis at `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` or `unix:///SOCKET`.
    ///
    /// # Errors
    /// Where that is no such address. What it says is not in the error: it may hold a password.
    pub fn at(url: &str) -> Result<Self, Error> {
        let client = Client::open(url).map_err(|_| {
            Error::invalid("redis_url", "the address of Redis cannot be read, or asks for TLS, which is not spoken here")
                .with_hint("write redis://HOST:PORT or unix:///SOCKET; over a network that is not private, through a tunnel")
        })?;
        Ok(Self {
            client,
            prefix: "synapse:limits".to_owned(),
            reply_within: Duration::from_millis(250),
            when_away: WhenAway::Alone { percent: 50 },
            reservations_for: Duration::from_hours(1),
            outbox: 16_384,
        })
    }

    /// Keeps everything under keys that begin so, `synapse:limits` by default. Gateways with the same share their limits.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Waits so long for an answer, 250 ms by default; then Redis counts as away.
    #[must_use]
    pub fn reply_within(mut self, limit: Duration) -> Self {
        self.reply_within = limit;
        self
    }

    /// Does this while Redis is away; half of each window alone by default.
    #[must_use]
    pub fn when_away(mut self, when_away: WhenAway) -> Self {
        self.when_away = when_away;
        self
    }

    /// Keeps what was reserved so long, an hour by default: a reply that takes longer gives nothing back.
    #[must_use]
    pub fn reservations_for(mut self, limit: Duration) -> Self {
        self.reservations_for = limit;
        self
    }

    /// Lets so many settlements wait for Redis, 16,384 by default; further ones are dropped and counted, and give nothing
    /// back.
    #[must_use]
    pub fn outbox(mut self, settlements: usize) -> Self {
        self.outbox = settlements;
        self
    }
}

/// The accounts in Redis, and what stands in for them.
#[derive(Debug)]
pub(super) struct Shared {
    scripts: Arc<Scripts>,
    link: Arc<Link>,
    outbox: Outbox,
    /// Whether there is an answer without Redis.
    alone: Local,
    limits: SharedLimits,
    process: u64,
    count: AtomicU64,
    unavailable: AtomicU64,
    decided_alone: AtomicU64,
}

impl Shared {
    /// Must be called where tokio runs.
    pub(super) fn open(limits: SharedLimits, alone: Local) -> Self {
        let scripts = Arc::new(Scripts::new(limits.prefix.clone()));
        let (link, outbox) = Link::open(limits.client.clone(), scripts.clone(), limits.outbox);
        Self {
            scripts,
            link,
            outbox,
            alone,
            limits,
            process: RandomState::new().hash_one("process"),
            count: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            decided_alone: AtomicU64::new(0),
        }
    }

    pub(super) fn alone(&self) -> &Local {
        &self.alone
    }

    async fn ask(
        &self,
        connection: &Arc<MultiplexedConnection>,
        demands: &Demands,
        cost: Cost,
    ) -> Option<Result<Granted, Refused>> {
        let id = ReservationId {
            process: self.process,
            count: self.count.fetch_add(1, Ordering::Relaxed),
        };
        let mut call_off = CallOff {
            shared: self,
            demands,
            id,
            cost,
            armed: true,
        };
        let call = self
            .scripts
            .reserve(demands, cost, id, self.limits.reservations_for);
        let mut own = MultiplexedConnection::clone(connection);
        let reply = match timeout(self.limits.reply_within, call.query_async::<Vec<i64>>(&mut own)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                self.link.lose(connection, &error);
                return None;
            }
            Err(late) => {
                self.link.lose(connection, &late);
                return None;
            }
        };
        match Answer::read(&reply, demands, cost)? {
            Answer::Granted(nearest) => {
                call_off.armed = false;
                Some(Ok(Granted {
                    status: nearest.status(),
                    receipt: Receipt {
                        taken: Duration::ZERO,
                        reservation: Some(id),
                    },
                }))
            }
            Answer::Refused(refused) => {
                call_off.armed = false;
                Some(Err(refused))
            }
            Answer::CalledOff => None,
        }
    }

    /// What is decided without Redis.
    fn decide_alone(&self, demands: &Demands, cost: Cost) -> Result<Granted, Refused> {
        let WhenAway::Alone { percent } = self.limits.when_away else {
            return Err(self.unavailable());
        };
        let demands = demands.share(percent.clamp(1, 100));
        if verdict::check_amounts(&demands, cost).is_err() {
            return Err(self.unavailable());
        }
        self.decided_alone.fetch_add(1, Ordering::Relaxed);
        self.alone.take(&demands, cost)
    }

    fn unavailable(&self) -> Refused {
        self.unavailable.fetch_add(1, Ordering::Relaxed);
        Refused {
            scope: None,
            error: Error::unavailable(
                "limits_unavailable",
                "the limits that this gateway shares with others cannot be looked up for now",
            )
            .with_retry(Retry::After(COME_BACK))
            .with_hint("send the request again"),
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.link.connection().is_some() {
            return Health::ready();
        }
        Health::degraded(match self.limits.when_away {
            WhenAway::Alone { percent } => {
                format!("Redis does not answer: this gateway holds to {percent} % of the limits alone")
            }
            WhenAway::Closed => "Redis does not answer: requests are refused".to_owned(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of settlements")]
    pub(super) fn metrics(&self, metrics: &mut MetricsData) {
        let connected = self.link.connection().is_some();
        metrics.gauge("rate_limit.shared", f64::from(u8::from(connected)));
        metrics.gauge("rate_limit.settlements_waiting", self.link.waiting() as f64);
        metrics.counter("rate_limit.settlements_dropped", self.link.dropped());
        metrics.counter(
            "rate_limit.decided_alone",
            self.decided_alone.load(Ordering::Relaxed),
        );
        metrics.counter("rate_limit.unavailable", self.unavailable.load(Ordering::Relaxed));
    }

    /// Waits a little until everything is settled.
    pub(super) async fn shutdown(&self) -> Result<(), Error> {
        let until = Instant::now() + LAST_SETTLEMENTS;
        while self.link.waiting() > 0 {
            if Instant::now() >= until {
                return Err(Error::unavailable(
                    "settlements_lost",
                    format!(
                        "Redis has not taken {} settlements of limits",
                        self.link.waiting()
                    ),
                )
                .with_hint("windows refill; budgets have that much less until their day or month is over"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Accounts for Shared {
    async fn reserve(&self, demands: &Demands, cost: Cost) -> Result<Granted, Refused> {
        if demands.iter().next().is_none() {
            return self.alone.take(demands, cost);
        }
        if let Some(connection) = self.link.connection()
            && let Some(answer) = self.ask(&connection, demands, cost).await
        {
            return answer;
        }
        self.decide_alone(demands, cost)
    }

    fn settle(&self, demands: &Demands, receipt: Receipt, refund: Cost) {
        match receipt.reservation {
            Some(id) => self
                .outbox
                .put(self.scripts.settlement(demands, id, refund, Duration::ZERO)),
            None => self.alone.settle(demands, receipt, refund),
        }
    }
}

/// Gives a reservation back of which nobody knows whether it was made: the answer did not come, or nobody waited for it.
struct CallOff<'a> {
    shared: &'a Shared,
    demands: &'a Demands,
    id: ReservationId,
    cost: Cost,
    armed: bool,
}

impl Drop for CallOff<'_> {
    fn drop(&mut self) {
        if self.armed {
            let settlement = self
                .shared
                .scripts
                .settlement(self.demands, self.id, self.cost, CALLED_OFF);
            self.shared.outbox.put(settlement);
        }
    }
}
