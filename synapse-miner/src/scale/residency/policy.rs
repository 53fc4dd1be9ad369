//! Which model is to be loaded next, and which make room for it.

use std::time::Duration;

/// Which model is to be loaded next, and which make room for it: a pure function.
///
/// Pinned models come first and never leave. Of the others, the one with the most requests for its bytes is loaded where
/// it is asked for at all and there is room. Where there is none, idle models make room that have been loaded for
/// [`stay`](Self::stay) at least, those with the fewest requests for their bytes first, if together they are asked for less
/// often than it by [`margin`](Self::margin). So two models that are asked for as often do not take turns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResidencyPolicy {
    margin: f64,
    stay: Duration,
}

/// One model, as a policy sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelDemand {
    /// What it takes of the memory, in bytes.
    pub bytes: u64,
    /// Whether it is to be loaded always.
    pub pinned: bool,
    /// Whether it may be loaded: it was not tried in vain just now.
    pub loadable: bool,
    /// For how long it has been loaded; `None` where it is not.
    pub loaded_for: Option<Duration>,
    /// Requests that it works on, which keep it where it is.
    pub busy: u32,
    /// Requests that wait for it to be loaded.
    pub waiting: u32,
    /// Requests a second, of late.
    pub rate: f64,
}

/// What is to be done: first the models of `unload` leave, then `load` is loaded. Models are numbered as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The models that leave.
    pub unload: Vec<usize>,
    /// The model that is loaded then.
    pub load: Option<usize>,
}

impl Default for ResidencyPolicy {
    fn default() -> Self {
        Self {
            margin: 1.5,
            stay: Duration::from_secs(60),
        }
    }
}

impl ResidencyPolicy {
    /// How many times more often a model has to be asked for than those that leave for it; 1.5 by default, at least 1.
    #[must_use]
    pub fn margin(mut self, times: f64) -> Self {
        self.margin = times.max(1.0);
        self
    }

    /// How long a model stays before it makes room for another; a minute by default.
    #[must_use]
    pub fn stay(mut self, time: Duration) -> Self {
        self.stay = time;
        self
    }

    /// The next step, where all that are loaded may take `budget` bytes; `None` where all is as it should be, or cannot be.
    #[must_use]
    pub fn next(&self, budget: u64, models: &[ModelDemand]) -> Option<Step> {
        let loaded = models.iter().filter(|model| model.loaded_for.is_some());
        let taken = loaded.fold(0_u64, |sum, model| sum.saturating_add(model.bytes));
        if taken > budget {
            let leave = |model: &ModelDemand| !model.pinned && model.busy == 0;
            let unload = Self::leaving(taken - budget, models, leave).0;
            return (!unload.is_empty()).then_some(Step { unload, load: None });
        }
        let mut wanted: Vec<usize> = (0..models.len()).filter(|at| models[*at].is_wanted()).collect();
        wanted.sort_by(|one, other| models[*other].precedes(&models[*one]));
        wanted.into_iter().find_map(|load| {
            let model = &models[load];
            let missing = model.bytes.saturating_sub(budget - taken);
            let unload = self.room_for(model, missing, models)?;
            Some(Step {
                unload,
                load: Some(load),
            })
        })
    }

    /// Which leave for `model`, where so many bytes are missing; `None` where they may not, or are not enough.
    fn room_for(&self, model: &ModelDemand, missing: u64, models: &[ModelDemand]) -> Option<Vec<usize>> {
        if missing == 0 {
            return Some(Vec::new());
        }
        let leave = |other: &ModelDemand| {
            let stayed = other.loaded_for.is_some_and(|time| time >= self.stay);
            !other.pinned && other.busy == 0 && (stayed || model.pinned)
        };
        let (unload, freed) = Self::leaving(missing, models, leave);
        let lost: f64 = unload.iter().map(|at| models[*at].rate).sum();
        let worth = model.pinned || lost * self.margin < model.rate;
        (freed >= missing && worth).then_some(unload)
    }

    /// Those loaded that may leave, with the fewest requests for their bytes first, until so many bytes are free; and how
    /// many that makes.
    fn leaving(
        missing: u64,
        models: &[ModelDemand],
        may: impl Fn(&ModelDemand) -> bool,
    ) -> (Vec<usize>, u64) {
        let mut order: Vec<usize> = (0..models.len())
            .filter(|at| models[*at].loaded_for.is_some() && may(&models[*at]))
            .collect();
        order.sort_by(|one, other| models[*one].density().total_cmp(&models[*other].density()));
        let (mut unload, mut freed) = (Vec::new(), 0_u64);
        for at in order {
            if freed >= missing {
                break;
            }
            freed = freed.saturating_add(models[at].bytes);
            unload.push(at);
        }
        (unload, freed)
    }
}

impl ModelDemand {
    fn is_wanted(&self) -> bool {
        self.loaded_for.is_none() && self.loadable && (self.pinned || self.waiting > 0)
    }

    /// Requests a second for each of its bytes.
    #[expect(clippy::cast_precision_loss, reason = "a model's size need not be exact")]
    fn density(&self) -> f64 {
        self.rate / self.bytes.max(1) as f64
    }

    fn precedes(&self, other: &Self) -> std::cmp::Ordering {
        let pinned = self.pinned.cmp(&other.pinned);
        pinned.then(self.density().total_cmp(&other.density()))
    }
}
