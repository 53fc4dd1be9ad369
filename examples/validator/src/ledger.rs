//! The ledger of what was asked, delivered and charged.

use std::path::Path;

use synapse_core::Error;
use synapse_validator::{
    billing::PriceBook,
    ledger::{Ledger, LedgerLayer},
};

use crate::config::ValidatorConfig;

/// Opens the ledger in its directory, and says what was found there.
pub(crate) fn open(options: &ValidatorConfig, data: &Path) -> Result<LedgerLayer, Error> {
    let billing = &options.billing;
    let directory = billing.ledger.clone().unwrap_or_else(|| data.join("ledger"));
    let ledger = Ledger::open(&directory, billing.settings())?;
    eprintln!("{}", ledger.recovered());
    LedgerLayer::new(ledger, PriceBook::free())
        .terms(billing.terms()?)
        .default_max_tokens(options.limits.default_max_tokens)
        .noting_prices(directory.join("prices.toml"), billing.price_book()?)
}

/// Takes prices and terms as they are now, both or none; where they stay as they were, that is told.
pub(crate) fn reload(ledger: &LedgerLayer, options: &ValidatorConfig) {
    let taken = options.billing.terms().and_then(|terms| {
        ledger.set_prices(options.billing.price_book()?)?;
        ledger.set_terms(terms);
        Ok(())
    });
    if let Err(error) = taken {
        eprintln!("prices, and the terms of [billing], stay as they were: {error}");
    }
}
