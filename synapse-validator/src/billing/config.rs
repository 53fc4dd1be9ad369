//! Options of prices and the ledger, as a program's configuration has them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error, Micros,
    config::{Configuration, Period, Wrong},
};

use super::{PriceBook, SpendLimit, Terms, Unpaid};
use crate::ledger::{Corruption, Settings, Sync};

/// What requests cost, and the ledger of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BillingConfig {
    /// The price book; everything costs nothing where there is none. A reload reads it anew.
    #[schemars(extend("x-flag" = "prices", "x-example" = "prices.toml"))]
    pub prices: Option<PathBuf>,
    /// What is done about callers who never paid anything in: allow serves them and writes down what they owe, refuse does
    /// not serve them what costs something.
    pub unpaid: Unpaid,
    /// What a caller may spend a day of UTC, in units.
    #[schemars(extend("x-example" = "20"))]
    pub spend_per_day: Option<String>,
    /// What a caller may spend a month of UTC, in units.
    #[schemars(extend("x-example" = "250.50"))]
    pub spend_per_month: Option<String>,
    /// The directory of the ledger; ledger in the data directory where this is left out.
    #[schemars(extend("x-flag" = "ledger", "x-restart" = true))]
    pub ledger: Option<PathBuf>,
    /// When rows are stored so that a power cut does not take them: interval gathers them for sync_every, always lets the
    /// head and the last event of each reply wait for the disk. The process may be killed at any time with either.
    #[schemars(extend("x-restart" = true))]
    pub sync: LedgerSync,
    /// How long rows are gathered, at most.
    #[schemars(extend("x-least" = "1ms", "x-most" = "1m", "x-restart" = true))]
    pub sync_every: Period,
    /// Go on without rows that the disk gave back otherwise than they were written, which are set aside; without it the ledger
    /// refuses to open, and says where. Set it once you have read what would be lost, and take it out again.
    #[schemars(extend("x-restart" = true))]
    pub set_corrupt_aside: bool,
    /// How long rows are kept before only their totals are; for good where this is left out.
    #[schemars(extend("x-least" = "1d", "x-example" = "400d", "x-restart" = true))]
    pub keep_rows: Option<Period>,
}

/// When rows are stored so that a power cut does not take them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LedgerSync {
    /// Every so often.
    #[default]
    Interval,
    /// At once.
    Always,
}

impl Default for BillingConfig {
    fn default() -> Self {
        Self {
            prices: None,
            unpaid: Unpaid::Allow,
            spend_per_day: None,
            spend_per_month: None,
            ledger: None,
            sync: LedgerSync::Interval,
            sync_every: Period::milliseconds(20),
            set_corrupt_aside: false,
            keep_rows: None,
        }
    }
}

impl BillingConfig {
    /// The prices.
    ///
    /// # Errors
    /// As [`PriceBook::read`].
    pub fn price_book(&self) -> Result<PriceBook, Error> {
        match &self.prices {
            Some(path) => PriceBook::read(path),
            None => Ok(PriceBook::free()),
        }
    }

    /// On what terms callers are served.
    ///
    /// # Errors
    /// `invalid_amount`, where nobody [checked](Configuration::check) it.
    pub fn terms(&self) -> Result<Terms, Error> {
        let amount = |text: &Option<String>| text.as_deref().map(str::parse::<Micros>).transpose();
        Ok(Terms {
            unpaid: self.unpaid,
            spend_limit: SpendLimit {
                per_day: amount(&self.spend_per_day)?,
                per_month: amount(&self.spend_per_month)?,
            },
        })
    }

    /// How the ledger is kept.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let settings = Settings::default().sync(match self.sync {
            LedgerSync::Interval => Sync::Every(self.sync_every.get()),
            LedgerSync::Always => Sync::Always,
        });
        let settings = settings.corruption(match self.set_corrupt_aside {
            true => Corruption::SetAside,
            false => Corruption::Refuse,
        });
        match self.keep_rows {
            Some(time) => settings.keep_rows(time.get()),
            None => settings,
        }
    }
}

impl Configuration for BillingConfig {
    fn check(&self, wrong: &mut Wrong) {
        for (key, amount) in [
            ("spend_per_day", &self.spend_per_day),
            ("spend_per_month", &self.spend_per_month),
        ] {
            match amount.as_deref().map(str::parse::<Micros>) {
                Some(Err(error)) => wrong.add(key, error.to_string()),
                Some(Ok(Micros::ZERO)) => {
                    wrong.add(
                        key,
                        "nobody could ask for what costs anything; leave it out for no limit",
                    );
                }
                _ => {}
            }
        }
        if let Err(error) = self.price_book() {
            wrong.add("prices", error.to_string());
        }
        if self.prices.is_none() && self.unpaid == Unpaid::Refuse {
            wrong.add("unpaid", "nothing costs anything, since there are no prices");
        }
    }
}
