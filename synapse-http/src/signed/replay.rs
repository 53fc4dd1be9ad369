//! Which requests were here.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use synapse_core::NodeId;

use super::{Stamp, btauth, claim::Once};

/// Older requests are stale in either protocol: Epistula's are sooner.
const KEPT: Duration = btauth::LONGEST_AGE;
const SECOND: u64 = 1_000_000_000;

/// How many requests are remembered, in all and of one caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) per_caller: usize,
}

/// Which requests were here, as long as they would be fresh.
///
/// What was signed at or before the floor is refused; what was signed after it is remembered. The floor is where the node
/// opened, and moves up as old entries are dropped: so a clock that was set back lets nobody in again.
pub(super) struct Replay {
    bounds: Bounds,
    inner: Mutex<Seen>,
}

struct Seen {
    floor: Stamp,
    /// By the second in which they were signed, so that they are dropped together.
    seconds: BTreeMap<u64, HashMap<NodeId, HashSet<Once>>>,
    all: usize,
    of_caller: HashMap<NodeId, usize>,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was here.
    Seen,
    /// It was signed at or before this time, and what was here then is not known.
    TooEarly(Stamp),
    /// There is no room: for anybody, or for this caller.
    Full,
    CallerFull,
}

impl Replay {
    /// A store that knows nothing of what was signed at or before `floor`.
    pub(super) fn after(floor: Stamp, bounds: Bounds) -> Self {
        Self {
            bounds,
            inner: Mutex::new(Seen {
                floor,
                seconds: BTreeMap::new(),
                all: 0,
                of_caller: HashMap::new(),
            }),
        }
    }

    /// The same with other bounds.
    pub(super) fn bounded(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same, empty, knowing nothing of what was signed at or before another `floor`.
    pub(super) fn reopened(self, floor: Stamp) -> Self {
        Self::after(floor, self.bounds)
    }

    /// Remembers a request that was not here. It is fresh at `now`.
    pub(super) fn admit(
        &self,
        caller: &NodeId,
        once: Once,
        signed_at: Stamp,
        now: Stamp,
    ) -> Result<(), Refused> {
        let mut seen = self.seen();
        seen.forget_before(now.minus(KEPT));
        if signed_at <= seen.floor {
            return Err(Refused::TooEarly(seen.floor));
        }
        if seen.holds(caller, once) {
            return Err(Refused::Seen);
        }
        let held = seen.of_caller.get(caller).copied().unwrap_or(0);
        if held >= self.bounds.per_caller {
            return Err(Refused::CallerFull);
        }
        if seen.all >= self.bounds.all {
            return Err(Refused::Full);
        }
        seen.remember(caller, once, signed_at);
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.inner
            .lock()
            .expect("nothing panics while it holds the store")
    }
}

impl Seen {
    /// Drops the seconds that lie wholly before `horizon`.
    fn forget_before(&mut self, horizon: Stamp) {
        while let Some(oldest) = self.seconds.first_entry()
            && end_of(*oldest.key()) < horizon
        {
            let (second, callers) = oldest.remove_entry();
            self.floor = self.floor.max(end_of(second));
            for (caller, gone) in callers {
                self.all -= gone.len();
                if let Some(held) = self.of_caller.get_mut(&caller) {
                    *held -= gone.len();
                    if *held == 0 {
                        self.of_caller.remove(&caller);
                    }
                }
            }
        }
    }

    /// A UUID may come back with another time, so every second is looked through: they are few.
    fn holds(&self, caller: &NodeId, once: Once) -> bool {
        self.seconds
            .values()
            .any(|callers| callers.get(caller).is_some_and(|marks| marks.contains(&once)))
    }

    fn remember(&mut self, caller: &NodeId, once: Once, signed_at: Stamp) {
        let second = self.seconds.entry(signed_at.nanos() / SECOND).or_default();
        second.entry(caller.clone()).or_default().insert(once);
        *self.of_caller.entry(caller.clone()).or_default() += 1;
        self.all += 1;
    }
}

/// The last time of a second.
fn end_of(second: u64) -> Stamp {
    Stamp::from_nanos(second.saturating_mul(SECOND).saturating_add(SECOND - 1))
}
