//! Which price holds for which model, and when.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use synapse_core::{Error, ErrorKind};

use super::{Price, moment::Moment};
use crate::{
    ledger::{PriceVersion, UnixMillis},
    same_model::other_name,
};

/// The prices of the models that a gateway sells, in versions: each holds from its date until the next one's.
///
/// It is read from a file, which is checked as a whole: a version that is in nobody's order, a gap between two of them, or
/// a model that has a price in one version and none in the next is refused.
///
/// ```
/// use synapse_validator::billing::PriceBook;
///
/// let book: PriceBook = r#"
/// [[version]]
/// number = 1
/// from = 2026-11-01
///
/// [version.models.smollm2]    # units for a million tokens
/// prompt = "0.15"
/// completion = "0.60"
///
/// [version.models.house]
/// free = true
///
/// [[version]]
/// number = 2
/// from = 2026-12-01T09:00:00Z
///
/// [version.models.smollm2]
/// prompt = "0.12"
/// completion = "0.60"
///
/// [version.models.house]
/// withdrawn = true            # no longer sold
/// "#
/// .parse()?;
/// let november = 1_795_000_000_000;
/// let quote = book.quote("smollm2", november)?;
/// assert_eq!(quote.version.map(|version| version.0), Some(1));
/// assert_eq!(quote.price.charge(1_000_000, 0), Some("0.15".parse()?));
/// # Ok::<(), synapse_core::Error>(())
/// ```
///
/// `m` and `m:latest` are one model, and a price of either is both's where the other has none. A table `[version.default]` is
/// the price of every model that the version does not name. Without one, a model without a price is not sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBook {
    /// By when they hold from.
    versions: Vec<Version>,
}

/// A version of the prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) from: Moment,
    pub(super) until: Option<Moment>,
    pub(super) models: BTreeMap<String, Sale>,
    pub(super) default: Option<Sale>,
}

/// How a model is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sale {
    At(Price),
    /// It was sold, and is not any more.
    Withdrawn,
}

/// What a request costs that comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quote {
    /// By which version of the prices; none where there are no prices at all.
    pub version: Option<PriceVersion>,
    /// The model's price.
    pub price: Price,
}

impl PriceBook {
    /// No prices: everything costs nothing.
    #[must_use]
    pub fn free() -> Self {
        Self { versions: Vec::new() }
    }

    /// One price for every model at all times, as version 1.
    #[must_use]
    pub fn flat(price: Price) -> Self {
        Self {
            versions: vec![Version {
                number: 1,
                from: Moment(0),
                until: None,
                models: BTreeMap::new(),
                default: Some(Sale::At(price)),
            }],
        }
    }

    pub(super) fn new(versions: Vec<Version>) -> Self {
        Self { versions }
    }

    /// The price of `model` for a request that comes `at` this time.
    ///
    /// # Errors
    /// `model_not_priced` where the model is not sold, and `no_prices_yet` before the first version.
    pub fn quote(&self, model: &str, at: UnixMillis) -> Result<Quote, Error> {
        let Some(first) = self.versions.first() else {
            return Ok(Quote {
                version: None,
                price: Price::FREE,
            });
        };
        let Some(version) = self.in_effect(at) else {
            return Err(Error::unavailable(
                "no_prices_yet",
                format!(
                    "nothing is sold before {}, when the first prices begin",
                    first.from
                ),
            ));
        };
        match version.sale(model) {
            Some(Sale::At(price)) => Ok(Quote {
                version: Some(PriceVersion(version.number)),
                price,
            }),
            Some(Sale::Withdrawn) | None => Err(not_priced(model)),
        }
    }

    /// Whether `next` may take this book's place at this time: what is or was in effect stays as it is, since rows refer
    /// to it.
    ///
    /// # Errors
    /// `price_version_changed`, which names the version.
    pub fn check_successor(&self, next: &Self, now: UnixMillis) -> Result<(), Error> {
        for version in self.begun(now) {
            match next.versions.iter().find(|other| other.number == version.number) {
                Some(other) if other.says_the_same(version) => {}
                Some(_) => return Err(changed(version.number, "is another now")),
                None => return Err(changed(version.number, "is gone")),
            }
        }
        Ok(())
    }

    /// The versions that are or were in effect.
    fn begun(&self, now: UnixMillis) -> impl Iterator<Item = &Version> {
        self.versions
            .iter()
            .take_while(move |version| version.from.0 <= now)
    }

    fn in_effect(&self, at: UnixMillis) -> Option<&Version> {
        let begun = self.versions.partition_point(|version| version.from.0 <= at);
        self.versions[..begun].last()
    }
}

impl Version {
    /// How it sells a model.
    pub(super) fn sale(&self, model: &str) -> Option<Sale> {
        let named = self.models.get(model);
        let same = || self.models.get(&*other_name(model)?);
        named.or_else(same).copied().or(self.default)
    }

    /// When it ends is the next one's to say, too.
    fn says_the_same(&self, other: &Self) -> bool {
        (self.from, &self.models, self.default) == (other.from, &other.models, other.default)
    }
}

/// The book as a file has it.
impl fmt::Display for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in self.versions.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            version.fmt(f)?;
        }
        Ok(())
    }
}

/// The version as a file has it, without its end.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[version]]\nnumber = {}\nfrom = {}", self.number, self.from)?;
        let sale = |f: &mut fmt::Formatter<'_>, sale: &Sale| match sale {
            Sale::At(price) if price.is_free() => f.write_str("free = true\n"),
            Sale::At(price) => writeln!(
                f,
                "prompt = \"{}\"\ncompletion = \"{}\"",
                price.prompt(),
                price.completion()
            ),
            Sale::Withdrawn => f.write_str("withdrawn = true\n"),
        };
        for (model, sold) in &self.models {
            f.write_str("\n[version.models.\"")?;
            for c in model.chars() {
                match c {
                    '"' | '\\' => write!(f, "\\{c}")?,
                    c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            f.write_str("\"]\n")?;
            sale(f, sold)?;
        }
        if let Some(sold) = &self.default {
            f.write_str("\n[version.default]\n")?;
            sale(f, sold)?;
        }
        Ok(())
    }
}

fn not_priced(model: &str) -> Error {
    let shown: String = model.chars().take(128).collect();
    Error::new(
        ErrorKind::NotFound,
        "model_not_priced",
        format!("the model {shown:?} is not sold here: it has no price"),
    )
    .with_param("model")
    .with_hint("GET /v1/models lists the models that are served")
}

fn changed(number: u32, how: &str) -> Error {
    Error::invalid(
        "price_version_changed",
        format!("version {number} of the prices, by which requests were charged, {how}"),
    )
    .with_hint("leave it as it was, and give the new prices a version of their own")
}
