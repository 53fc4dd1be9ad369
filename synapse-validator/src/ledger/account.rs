//! What callers paid in and what they were charged.

use serde::Serialize;
use synapse_core::{CallerId, KeyId, Micros};

/// What a caller paid in and what it was charged, from the first row on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// All top-ups.
    pub paid_in: Micros,
    /// All charges, those from before the first top-up too.
    pub charged: Micros,
}

/// Who pays: the caller, or one of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payer {
    /// The caller, whichever key it uses.
    Caller(CallerId),
    /// One key.
    Key(KeyId),
}

impl Account {
    /// What is left; nothing where more was charged than paid in.
    #[must_use]
    pub fn balance(&self) -> Micros {
        self.paid_in.minus(self.charged).unwrap_or(Micros::ZERO)
    }

    /// What was charged beyond what was paid in.
    #[must_use]
    pub fn owed(&self) -> Micros {
        self.charged.minus(self.paid_in).unwrap_or(Micros::ZERO)
    }
}

impl From<&CallerId> for Payer {
    fn from(caller: &CallerId) -> Self {
        Self::Caller(caller.clone())
    }
}

impl From<&KeyId> for Payer {
    fn from(key: &KeyId) -> Self {
        Self::Key(key.clone())
    }
}
