//! What a request takes, and of whose windows.

use synapse_core::{ApiKey, Caller, ClientIp, Input};

use super::{
    account::{Scope, Whose},
    limits::Limits,
    quota::{Quota, Unit, Window},
};
use crate::token_count::cap_name;

/// What a request takes, or what is given back of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

impl Cost {
    pub(super) const NONE: Self = Self {
        requests: 0,
        tokens: 0,
    };

    /// What it is of a window's unit.
    pub(super) fn of(self, window: Window) -> u64 {
        match window.kind.unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// All that a request is held to; of each scope one at most.
#[derive(Debug)]
pub(super) struct Demands {
    each: [Option<Demand>; Scope::ALL.len()],
    /// What the caller's format calls the cap on a reply.
    cap: &'static str,
}

#[derive(Debug)]
pub(super) struct Demand {
    pub(super) whose: Whose,
    pub(super) quota: Quota,
}

impl Demands {
    pub(super) fn of(input: &Input, limits: &Limits) -> Self {
        let extensions = input.extensions();
        let mut demands = Self {
            each: Default::default(),
            cap: cap_name(input),
        };
        let mut add = |quota: Quota, whose: &dyn Fn() -> Whose| {
            if !quota.is_unlimited() {
                let whose = whose();
                let place = &mut demands.each[whose.scope() as usize];
                *place = Some(Demand { whose, quota });
            }
        };
        add(limits.everybody, &|| Whose::Everybody);
        add(limits.caller, &|| {
            Whose::Caller(extensions.get::<Caller>().map(|caller| caller.id().clone()))
        });
        if let Some(key) = extensions.get::<ApiKey>() {
            add(key.allowance().into(), &|| Whose::Key(key.id().clone()));
        }
        if !limits.models.is_empty()
            && let Ok(model) = input.model()
            && let Some((name, quota)) = limits.of_model(model)
        {
            add(*quota, &|| Whose::Model(name.clone()));
        }
        add(limits.address, &|| {
            Whose::at(extensions.get::<ClientIp>().map(|client| client.0))
        });
        demands
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Demand> {
        self.each.iter().flatten()
    }

    pub(super) fn cap(&self) -> &'static str {
        self.cap
    }

    /// The same, each held to so many percent.
    #[cfg(feature = "redis")]
    pub(super) fn share(&self, percent: u8) -> Self {
        let each = self.each.each_ref().map(|demand| {
            demand.as_ref().map(|demand| Demand {
                whose: demand.whose.clone(),
                quota: demand.quota.share(percent),
            })
        });
        Self { each, cap: self.cap }
    }

    /// The smallest amount of tokens that any window holds; `None` where no tokens are limited.
    pub(super) fn least_tokens(&self) -> Option<u64> {
        self.iter().filter_map(|demand| demand.quota.least_tokens()).min()
    }
}
