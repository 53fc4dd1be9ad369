//! On what terms callers are served.

use synapse_core::Micros;

/// On what terms callers are served.
///
/// ```
/// use synapse_validator::billing::{SpendLimit, Terms, Unpaid};
///
/// let terms = Terms::default()
///     .unpaid(Unpaid::Refuse)
///     .spend_limit(SpendLimit::default().per_day("20".parse()?));
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// What is done about callers who never paid anything in.
    pub unpaid: Unpaid,
    /// What each caller may spend, whatever its balance is.
    pub spend_limit: SpendLimit,
}

/// What is done about callers who never paid anything in, and about who has no name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)
)]
#[cfg_attr(feature = "config", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Unpaid {
    /// They are served, and their charges are written down: they owe them, and the first money that they pay in goes
    /// there.
    #[default]
    Allow,
    /// They are refused whatever costs something.
    Refuse,
}

/// What may be spent, in days and months of UTC. What is left out is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpendLimit {
    /// A day.
    pub per_day: Option<Micros>,
    /// A month.
    pub per_month: Option<Micros>,
}

impl Terms {
    /// The same with this done about callers who never paid anything in.
    #[must_use]
    pub fn unpaid(mut self, unpaid: Unpaid) -> Self {
        self.unpaid = unpaid;
        self
    }

    /// The same with what each caller may spend.
    #[must_use]
    pub fn spend_limit(mut self, limit: SpendLimit) -> Self {
        self.spend_limit = limit;
        self
    }
}

impl SpendLimit {
    /// The same with so much a day.
    #[must_use]
    pub fn per_day(mut self, amount: Micros) -> Self {
        self.per_day = Some(amount);
        self
    }

    /// The same with so much a month.
    #[must_use]
    pub fn per_month(mut self, amount: Micros) -> Self {
        self.per_month = Some(amount);
        self
    }
}
