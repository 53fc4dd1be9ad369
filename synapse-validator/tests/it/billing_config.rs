//! Options of prices and the ledger.

use std::{fs, time::Duration};

use synapse_core::{Micros, config::Loader};
use synapse_validator::{
    billing::{BillingConfig, SpendLimit, Terms, Unpaid},
    ledger::{Settings, Sync},
};

fn load(text: &str) -> Result<BillingConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("billing.toml");
    fs::write(&path, text).unwrap();
    match Loader::<BillingConfig>::new().file(&path).load() {
        Ok(loaded) => Ok(loaded.value().clone()),
        Err(wrong) => Err(wrong.to_string().replace(&format!("{}:", path.display()), "")),
    }
}

#[test]
fn what_is_left_out_costs_nothing_and_is_stored_every_20_ms() {
    let config = load("").unwrap();
    assert_eq!(config, BillingConfig::default());
    assert_eq!(config.settings(), Settings::default());
    assert_eq!(config.terms().unwrap(), Terms::default());
    assert!(
        config
            .price_book()
            .unwrap()
            .quote("any", 0)
            .unwrap()
            .price
            .is_free()
    );
}

#[test]
fn what_is_said_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let prices = dir.path().join("prices.toml");
    fs::write(
        &prices,
        "[[version]]\nnumber = 1\nfrom = 2026-01-01\ndefault.free = true\n",
    )
    .unwrap();
    let config = load(&format!(
        "prices = {prices:?}\nunpaid = \"refuse\"\nspend_per_day = \"20\"\nspend_per_month = \"250.50\"\nsync = \
         \"always\"\nkeep_rows = \"400d\"\n"
    ))
    .unwrap();
    let limit = SpendLimit::default()
        .per_day(Micros(20_000_000))
        .per_month(Micros(250_500_000));
    let terms = Terms::default().unpaid(Unpaid::Refuse).spend_limit(limit);
    assert_eq!(config.terms().unwrap(), terms);
    let kept = Duration::from_secs(400 * 86_400);
    assert_eq!(
        config.settings(),
        Settings::default().sync(Sync::Always).keep_rows(kept)
    );
    assert!(config.price_book().is_ok());
}

#[test]
fn what_cannot_be_is_refused_as_it_is_read() {
    fn check(text: &str, expect: &str) {
        let wrong = load(text).expect_err(text);
        assert!(wrong.contains(expect), "{wrong}");
    }
    check("spend_per_day = \"-1\"", "\"-1\" is no amount");
    check("spend_per_day = 20", "takes a text");
    check("spend_per_month = \"1e3\"", "\"1e3\" is no amount");
    check(
        "unpaid = \"refuse\"",
        "nothing costs anything, since there are no prices",
    );
    check("unpaid = \"maybe\"", "takes allow or refuse");
    check("sync = \"sometimes\"", "takes interval or always");
    check("sync_every = \"0s\"", "takes a length of time");
    check(
        "prices = \"nowhere.toml\"",
        "the price book nowhere.toml cannot be read",
    );
    let dir = tempfile::tempdir().unwrap();
    let prices = dir.path().join("prices.toml");
    let gap = "[[version]]\nnumber = 1\nfrom = 2026-01-01\nuntil = 2026-02-01\ndefault.free = true\n[[version]]\nnumber = \
               2\nfrom = 2026-03-01\ndefault.free = true\n";
    fs::write(&prices, gap).unwrap();
    check(
        &format!("prices = {prices:?}"),
        "nothing has a price from 2026-02-01T00:00:00Z, when version 1 ends, until 2026-03-01T00:00:00Z",
    );
}
