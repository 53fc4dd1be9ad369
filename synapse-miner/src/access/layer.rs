//! The layer.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use synapse_core::{
    Attached, Chunk, Ending, Error, InferenceService, Input, MetricsData, Middleware, MiddlewareService,
    Next, NodeId, Output, Pending, Tap,
};
use synapse_http::SignedBy;
use tower::Layer;

use super::{
    AccessRules, Standing,
    callers::Callers,
    refusal::{self, Reason},
};
use crate::queue::{Count, Guess};

/// Marks an [`Input`] as this process's own, as an extension: a question that a node asks its own module. Such a request is
/// let through whatever the rules are. Nothing that came over the wire carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnRequest;

/// Lets those requests through that its [rules](AccessRules) allow.
///
/// Who asks is the [`SignedBy`] that the node's verifier put beside the request; a request without one is refused with
/// `unsigned_request`, unless it is this process's [own](OwnRequest). What is let through carries a [`Standing`].
///
/// | who | is refused as | code |
/// | --- | --- | --- |
/// | is denied | `Forbidden` | `denied` |
/// | is not one of those who only may | `Forbidden` | `not_allowed` |
/// | has another role | `Forbidden` | `role_not_allowed` |
/// | staked too little | `Forbidden` | `stake_too_low` |
/// | exceeds one of its limits | `RateLimited`, with when it would not | `caller_limit_reached` |
/// | is one caller too many to keep count of (16,384) | `Overloaded` | `callers_full` |
///
/// The state lives in the layer: clones share it, and one of them is what a stack
/// [attaches](synapse_core::Stack::attach), to report metrics, or keeps, to [change the rules](Self::set_rules).
///
/// The metrics: `access.admitted`, and `access.refused` by reason; `access.callers`, who use something of their limits, and
/// `access.in_flight`, what is under way of theirs, where there are limits.
#[derive(Clone)]
pub struct AccessLayer(Arc<State>);

struct State {
    rules: RwLock<Arc<AccessRules>>,
    callers: Arc<Callers>,
    admitted: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl AccessLayer {
    /// Lets those requests through that `rules` allow.
    #[must_use]
    pub fn new(rules: AccessRules) -> Self {
        Self(Arc::new(State {
            rules: RwLock::new(Arc::new(rules)),
            callers: Arc::new(Callers::new()),
            admitted: AtomicU64::new(0),
            refused: Default::default(),
        }))
    }

    /// Goes by other rules from now on. What is under way ends as it would have.
    pub fn set_rules(&self, rules: AccessRules) {
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// The rules as they are now.
    #[must_use]
    pub fn rules(&self) -> Arc<AccessRules> {
        self.0
            .rules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn refuse(&self, reason: Reason, error: Error) -> Error {
        self.0.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        error
    }

    /// Whether the rules let `caller` call at all.
    fn check(&self, rules: &AccessRules, caller: &SignedBy) -> Result<(), Error> {
        let (node, role, stake) = (caller.node(), caller.role(), caller.stake());
        let (reason, error) = if rules.deny.contains(node) {
            (Reason::Denied, refusal::denied(node))
        } else if rules.only.as_ref().is_some_and(|only| !only.contains(node)) {
            (Reason::NotAllowed, refusal::not_allowed(node))
        } else if !rules.roles.contains(&role) {
            (Reason::Role, refusal::wrong_role(node, role))
        } else if stake < rules.least_stake {
            let least = rules.least_stake;
            (Reason::Stake, refusal::too_little_stake(node, stake, least))
        } else {
            return Ok(());
        };
        Err(self.refuse(reason, error))
    }

    /// Counts a request against its caller's limits; `None` where there are none.
    fn hold(&self, rules: &AccessRules, caller: &SignedBy, input: &Input) -> Result<Option<Held>, Error> {
        let limits = rules.limits;
        if limits.is_none() {
            return Ok(None);
        }
        let guess = limits.tokens.map(|_| Guess::of(input));
        let node = caller.node();
        let charged = self
            .0
            .callers
            .enter(node, limits, guess.map_or(0, Guess::total))
            .map_err(|(reason, wait)| self.refuse(reason, refusal::exceeded(reason, limits, wait)))?;
        Ok(Some(Held {
            callers: self.0.callers.clone(),
            node: node.clone(),
            charged,
            count: guess.map(Count::new),
        }))
    }
}

impl fmt::Debug for AccessLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLayer")
            .field("rules", &self.rules())
            .finish_non_exhaustive()
    }
}

impl Default for AccessLayer {
    fn default() -> Self {
        Self::new(AccessRules::default())
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for AccessLayer {
    async fn handle<S: InferenceService>(&self, mut input: Input, next: Next<S>) -> Result<Output, Error> {
        if input.extensions().get::<OwnRequest>().is_some() {
            return next.run(input).await;
        }
        let Some(caller) = input.extensions().get::<SignedBy>().cloned() else {
            return Err(self.refuse(Reason::Unsigned, refusal::unsigned()));
        };
        let rules = self.rules();
        self.check(&rules, &caller)?;
        let held = self.hold(&rules, &caller, &input)?.map(Pending::new);
        self.0.admitted.fetch_add(1, Ordering::Relaxed);
        let standing = Standing::new(caller.node().clone(), caller.stake());
        input.extensions_mut().insert(standing);
        let result = next.run(input).await;
        match held {
            Some(held) => held.settle(result),
            None => result,
        }
    }
}

/// A request that is counted against its caller, until the body ends.
struct Held {
    callers: Arc<Callers>,
    node: NodeId,
    charged: u64,
    count: Option<Count>,
}

impl Tap for Held {
    fn on_chunk(&mut self, chunk: &Chunk) {
        if let Some(count) = &mut self.count {
            count.on_chunk(chunk);
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        let used = match (&self.count, ending) {
            // What was refused, or failed before its first word, is not held against whoever asked.
            (Some(count), Ending::Broken(_)) if !count.has_begun() => 0,
            (Some(count), _) => count.usage().total(),
            (None, _) => 0,
        };
        self.callers.leave(&self.node, self.charged, used);
    }
}

impl Attached for AccessLayer {
    #[expect(clippy::cast_precision_loss, reason = "numbers of callers and requests")]
    fn metrics(&self, metrics: &mut MetricsData) {
        metrics.counter("access.admitted", self.0.admitted.load(Ordering::Relaxed));
        for reason in Reason::ALL {
            let refused = self.0.refused[reason as usize].load(Ordering::Relaxed);
            metrics.counter_of("access.refused", &[("reason", reason.as_str())], refused);
        }
        let (callers, in_flight) = self.0.callers.count();
        metrics.gauge("access.callers", callers as f64);
        metrics.gauge("access.in_flight", in_flight as f64);
    }
}
