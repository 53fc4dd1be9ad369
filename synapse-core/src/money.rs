//! Amounts of money, in whole numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Millionths of a unit of money, whatever unit an operator bills in. No float ever touches it.
///
/// ```
/// use synapse_core::Micros;
///
/// let price: Micros = "2.50".parse()?;
/// assert_eq!(price, Micros(2_500_000));
/// assert_eq!(price.to_string(), "2.5");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// Millionths of a unit.
const UNIT: u64 = 1_000_000;
/// Digits behind the point.
const DIGITS: usize = 6;

impl Micros {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum; `None` where there is no such number.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` where `other` is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// So many times this; `None` where there is no such number.
    #[must_use]
    pub fn times(self, count: u64) -> Option<Self> {
        self.0.checked_mul(count).map(Self)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.0 / UNIT, self.0 % UNIT);
        let text = match rest {
            0 => units.to_string(),
            _ => format!("{units}.{}", format!("{rest:0DIGITS$}").trim_end_matches('0')),
        };
        f.pad(&text)
    }
}

impl FromStr for Micros {
    type Err = Error;

    /// Reads units with at most six digits behind a point: `12`, `0.25`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::invalid("invalid_amount", format!("{text:?} is no amount: {why}"))
                .with_hint("write units, with at most six digits behind a point, such as 12.50")
        };
        let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || !digits(rest) {
            return Err(wrong("it has other characters than digits and one point"));
        }
        if rest.len() > DIGITS {
            return Err(wrong("it is finer than a millionth"));
        }
        let rest: u64 = format!("{rest:0<DIGITS$}")
            .parse()
            .map_err(|_| wrong("it is finer than a millionth"))?;
        units
            .parse::<u64>()
            .ok()
            .and_then(|units| units.checked_mul(UNIT)?.checked_add(rest))
            .map(Self)
            .ok_or_else(|| wrong("it is too large"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_reads_back(amount in any::<u64>()) {
            prop_assert_eq!(Micros(amount).to_string().parse::<Micros>().unwrap(), Micros(amount));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.0000001",
            "1,5",
            " 1",
            "18446744073709.551616",
            "٣",
        ] {
            assert_eq!(
                text.parse::<Micros>().unwrap_err().code(),
                "invalid_amount",
                "{text}"
            );
        }
    }
}
