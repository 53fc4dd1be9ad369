//! The ledger of what was asked, delivered and charged.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use synapse_core::{Error, config::Wrong};
use synapse_validator::{
    billing::PriceBook,
    ledger::{Ledger, LedgerLayer},
    rate_limit::RateLimitLayer,
};
use tokio::{sync::oneshot, time::timeout};

use crate::config::ValidatorConfig;

/// How long a gateway waits at most for what was used of its limits; what is left of that it reads while it serves.
const READ_FIRST: Duration = Duration::from_secs(10);

/// The directory of the ledger.
pub(crate) fn directory(options: &ValidatorConfig, data: &Path) -> PathBuf {
    let named = options.billing.ledger.clone();
    named.unwrap_or_else(|| data.join("ledger"))
}

/// Reads what was used of the limits of a day and a month before this process began, in a thread of its own.
pub(crate) async fn restore(limits: RateLimitLayer, directory: PathBuf) -> Result<(), Error> {
    let (tell, told) = oneshot::channel();
    let read = move || {
        match limits.restore(&directory) {
            Ok(restored) if restored.requests > 0 => eprintln!("{restored}"),
            Ok(_) => {}
            Err(error) => eprintln!("limits of tokens a day and a month begin anew: {error}"),
        }
        // Nobody may wait any more.
        let _ = tell.send(());
    };
    // Not one of tokio's, which would wait for it at the end.
    let thread = thread::Builder::new().name("limits-past".to_owned());
    thread.spawn(read).map_err(|error| {
        Error::internal("limits_thread", "the limits could not start a thread").with_source(error)
    })?;
    if timeout(READ_FIRST, told).await.is_err() {
        eprintln!(
            "what was used of limits of tokens a day and a month is not read yet, and does not count until it is"
        );
    }
    Ok(())
}

/// Opens the ledger in its directory, and says what was found there.
pub(crate) fn open(options: &ValidatorConfig, directory: &Path) -> Result<LedgerLayer, Error> {
    let billing = &options.billing;
    let ledger = Ledger::open(directory, billing.settings())?;
    eprintln!("{}", ledger.recovered());
    LedgerLayer::new(ledger, PriceBook::free())
        .terms(billing.terms()?)
        .default_max_tokens(options.limits.default_max_tokens)
        .noting_prices(directory.join("prices.toml"), billing.price_book()?)
}

/// Says what is wrong with prices that are to take the place of those in effect.
pub(crate) fn check(ledger: &LedgerLayer, options: &ValidatorConfig, wrong: &mut Wrong) {
    // That they cannot be read is told where the whole configuration is checked.
    if let Ok(prices) = options.billing.price_book()
        && let Err(error) = ledger.check_prices(&prices)
    {
        wrong.add("billing.prices", error.to_string());
    }
}

/// Takes prices and terms as they are now: both, or none.
///
/// # Errors
/// As [`LedgerLayer::set_prices`], and where the price book cannot be read any more.
pub(crate) fn reload(ledger: &LedgerLayer, options: &ValidatorConfig) -> Result<(), Error> {
    let terms = options.billing.terms()?;
    ledger.set_prices(options.billing.price_book()?)?;
    ledger.set_terms(terms);
    Ok(())
}
