//! What is said to Redis, and what it answers.

use std::{fmt, net::IpAddr, time::Duration};

use redis::{Cmd, RedisResult, Script, aio::MultiplexedConnection};

use super::super::{
    account::Whose,
    demand::{Cost, Demands},
    quota::Window,
    verdict::{Lacking, Level, Nearest, Refused},
};

/// The largest amount: Lua's numbers are exact up to twice as much.
const MOST: u64 = 1 << 52;
const NANOS_PER_MICRO: u128 = 1_000;

/// Which reservation it is: unique among all gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReservationId {
    pub(super) process: u64,
    pub(super) count: u64,
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:x}", self.process, self.count)
    }
}

/// Both scripts, and where their keys are.
#[derive(Debug)]
pub(super) struct Scripts {
    reserve: Script,
    settle: Script,
    prefix: String,
}

/// What is to be given back, in Redis' words.
#[derive(Debug)]
pub(super) struct Settlement {
    keys: Vec<String>,
    /// Of each account the kinds of its windows.
    kinds: Vec<Vec<usize>>,
    refund: Cost,
    /// How long the reservation stays called off where it is not known whether it was made.
    called_off: Duration,
}

/// What Redis answered.
pub(super) enum Answer {
    Granted(Nearest),
    Refused(Refused),
    /// The request had been given up before.
    CalledOff,
}

impl Scripts {
    pub(super) fn new(prefix: String) -> Self {
        Self {
            reserve: Script::new(include_str!("reserve.lua")),
            settle: Script::new(include_str!("settle.lua")),
            prefix,
        }
    }

    /// Has Redis know both.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.reserve.load_async(connection).await?;
        self.settle.load_async(connection).await?;
        Ok(())
    }

    pub(super) fn reserve(&self, demands: &Demands, cost: Cost, id: ReservationId, kept: Duration) -> Cmd {
        let mut call = self.call(&self.reserve, 2 + demands.iter().count());
        call.arg(format!("{}:clock", self.prefix));
        call.arg(self.reservation(id));
        for demand in demands.iter() {
            call.arg(self.account(&demand.whose));
        }
        call.arg(millis(kept));
        call.arg(cost.requests.min(MOST)).arg(cost.tokens.min(MOST));
        for demand in demands.iter() {
            call.arg(demand.quota.windows().count());
            for window in demand.quota.windows().map(exact) {
                call.arg(window.kind.index()).arg(window.amount);
            }
        }
        call
    }

    /// What gives `refund` back; where it is not known whether the reservation was made, it is `called_off` for so long.
    pub(super) fn settlement(
        &self,
        demands: &Demands,
        id: ReservationId,
        refund: Cost,
        called_off: Duration,
    ) -> Settlement {
        let accounts = demands.iter().map(|demand| self.account(&demand.whose));
        let kinds = demands
            .iter()
            .map(|demand| demand.quota.windows().map(|window| window.kind.index()).collect());
        Settlement {
            keys: std::iter::once(self.reservation(id)).chain(accounts).collect(),
            kinds: kinds.collect(),
            refund,
            called_off,
        }
    }

    pub(super) fn settle(&self, settlement: &Settlement) -> Cmd {
        let mut call = self.call(&self.settle, settlement.keys.len());
        call.arg(&settlement.keys);
        call.arg(millis(settlement.called_off));
        let Cost { requests, tokens } = settlement.refund;
        call.arg(requests.min(MOST)).arg(tokens.min(MOST));
        for kinds in &settlement.kinds {
            call.arg(kinds.len()).arg(kinds);
        }
        call
    }

    /// A script that the connection has loaded.
    fn call(&self, script: &Script, keys: usize) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash()).arg(keys);
        call
    }

    fn reservation(&self, id: ReservationId) -> String {
        format!("{}:reservation:{id}", self.prefix)
    }

    fn account(&self, whose: &Whose) -> String {
        let name: &dyn fmt::Display = match whose {
            Whose::Everybody | Whose::Caller(None) | Whose::Address(None) => &"",
            Whose::Caller(Some(caller)) => caller,
            Whose::Key(key) => key,
            Whose::Model(model) => model,
            Whose::Address(Some(address)) => address as &IpAddr,
        };
        // Nobody is not the one whose name is empty.
        let named = match whose {
            Whose::Everybody | Whose::Caller(None) | Whose::Address(None) => "",
            _ => ":",
        };
        format!("{}:{}{named}{name}", self.prefix, whose.scope().as_str())
    }
}

impl Answer {
    /// Reads the answer to a reservation; `None` where it is none.
    pub(super) fn read(reply: &[i64], demands: &Demands, cost: Cost) -> Option<Self> {
        let mut numbers = reply.iter().map(|number| u64::try_from(*number));
        let granted = match numbers.next()? {
            Ok(granted) => granted == 1,
            Err(_) => return Some(Self::CalledOff),
        };
        let mut number = || numbers.next()?.ok();
        let (now, calendar) = (Duration::from_micros(number()?), Duration::from_micros(number()?));
        let (mut nearest, mut lacking) = (Nearest::default(), Lacking::default());
        for demand in demands.iter() {
            for window in demand.quota.windows().map(exact) {
                let (units, parts) = (number()?, number()?);
                let used = level(window, units, parts, now, calendar);
                if granted {
                    nearest.add(window, used.plus(window, cost.of(window)));
                } else {
                    lacking.weigh(demand.whose.scope(), window, used, cost.of(window));
                    nearest.add(window, used);
                }
            }
        }
        if granted {
            return Some(Self::Granted(nearest));
        }
        let refused = lacking.refuse(demands, cost, nearest.status());
        refused.err().map(Self::Refused)
    }
}

fn level(window: Window, units: u64, parts: u64, now: Duration, calendar: Duration) -> Level {
    let period = window.kind.period;
    if window.kind.is_budget() {
        return Level::Budget {
            used: units,
            ends_in: period.ends(period.number(calendar)).saturating_sub(now),
        };
    }
    // A part of a unit is a microsecond of the period.
    Level::Refills(window.cost(units) + u128::from(parts) * NANOS_PER_MICRO)
}

/// The window as far as Redis' numbers go.
fn exact(mut window: Window) -> Window {
    window.amount = window.amount.min(MOST);
    window
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
