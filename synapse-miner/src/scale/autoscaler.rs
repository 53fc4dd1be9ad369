//! Applying a policy to what is seen.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{Demand, Load, ScalePolicy, policy::Lately};

/// A policy, and since when what it goes by has been so.
pub(super) struct Autoscaler {
    policy: ScalePolicy,
    demand: Arc<dyn Demand>,
    changed: Instant,
    calm_since: Option<Instant>,
    /// The places that were last told.
    places: Option<usize>,
}

impl Autoscaler {
    pub(super) fn new(policy: ScalePolicy, demand: Arc<dyn Demand>) -> Self {
        Self {
            policy,
            demand,
            changed: Instant::now(),
            calm_since: None,
            places: None,
        }
    }

    /// How many there should be, of `wanted` now; `load` lacks how many wait.
    pub(super) fn look(&mut self, wanted: u32, load: Load) -> (u32, Load) {
        let waiting = u32::try_from(self.demand.waiting()).unwrap_or(u32::MAX);
        let (now, load) = (Instant::now(), Load { waiting, ..load });
        self.calm_since = match self.calm_since {
            _ if !self.policy.is_calm(load) => None,
            Some(since) => Some(since),
            None => Some(now),
        };
        let lately = Lately {
            changed: now.duration_since(self.changed),
            calm: self
                .calm_since
                .map(|since| now.duration_since(since))
                .unwrap_or_default(),
        };
        let next = self.policy.wanted(wanted, load, lately);
        if next != wanted {
            self.changed = now;
            self.calm_since = None;
        }
        (next, load)
    }

    /// Tells whoever stands before the replicas on how many requests they work at once.
    pub(super) fn tell(&mut self, slots: u32) {
        let places = usize::try_from(slots).unwrap_or(usize::MAX).max(1);
        if self.places.replace(places) != Some(places) {
            self.demand.set_places(places);
        }
    }
}

impl fmt::Debug for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Autoscaler")
            .field("policy", &self.policy)
            .field("calm_since", &self.calm_since)
            .finish_non_exhaustive()
    }
}
