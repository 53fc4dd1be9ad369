//! Prices, and what is held of a balance while a request is under way. No float touches money.
//!
//! A [`PriceBook`] says what the tokens of a model cost, and when. Balances are prepaid and live in the
//! [ledger](crate::ledger); the [`LedgerLayer`](crate::ledger::LedgerLayer) holds what a request may cost as it comes, and
//! charges what it took as it ends. [`Terms`] say who is served without a balance, and what each caller may spend.

mod accounts;
mod book;
#[cfg(feature = "config")]
mod config;
mod file;
mod moment;
mod noted;
mod price;
mod refusal;
mod terms;

pub(crate) use self::accounts::{Accounts, Bill, Hold};
#[cfg(feature = "config")]
pub use self::config::{BillingConfig, LedgerSync};
pub use self::{
    book::{PriceBook, Quote},
    price::Price,
    terms::{SpendLimit, Terms, Unpaid},
};
