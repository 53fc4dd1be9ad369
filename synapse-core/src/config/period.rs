//! A length of time, as people write it.

use std::{fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

/// By nanoseconds, longest first; the second of a pair is what a unit has.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A hundred years: what is longer overflows somebody's clock.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// A length of time, written `30s`, `250ms`, `5m`, `2h` or as a bare number of seconds.
///
/// The units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`; a fraction is fine (`1.5s`), more than a hundred years is not.
/// It is written with the longest unit of which it is a whole number.
///
/// ```
/// use std::time::Duration;
/// use synapse_core::config::Period;
///
/// let period: Period = "250ms".parse()?;
/// assert_eq!(period.get(), Duration::from_millis(250));
/// assert_eq!("90".parse::<Period>()?.to_string(), "90s");
/// assert_eq!("120s".parse::<Period>()?.to_string(), "2m");
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

impl Period {
    /// So many seconds, a hundred years at most.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        if seconds > LONGEST.as_secs() {
            return Self(LONGEST);
        }
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn milliseconds(milliseconds: u32) -> Self {
        Self(Duration::from_millis(milliseconds as u64))
    }

    /// The same, as everybody else has it.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// A hundred years at most.
impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration.min(LONGEST))
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let whole = UNITS.iter().find(|(_, unit)| nanos.is_multiple_of(*unit));
        let (name, unit) = whole.expect("everything is a whole number of nanoseconds");
        write!(f, "{}{name}", nanos / unit)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({self})")
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let no_period = || {
            Error::invalid("no_period", "it is no length of time")
                .with_hint("write it as 30s, 250ms, 5m or 2h")
        };
        let number = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(number);
        let unit = match unit.trim_start() {
            "" => "s",
            unit => unit,
        };
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let &(_, unit) = unit.ok_or_else(no_period)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let part: u128 = fraction.parse().map_err(|_| no_period())?;
        let digits = u32::try_from(fraction.len()).map_err(|_| no_period())?;
        if digits > 9 {
            return Err(no_period());
        }
        // Twenty digits are more than a hundred years in any unit, but no number that overflows here.
        let whole: u128 = match whole.trim_start_matches('0') {
            "" if !whole.is_empty() => 0,
            whole if whole.len() <= 20 => whole.parse().map_err(|_| no_period())?,
            _ => return Err(no_period()),
        };
        let nanos = whole * unit + part * unit / 10_u128.pow(digits);
        if nanos > LONGEST.as_nanos() {
            return Err(Error::invalid(
                "period_too_long",
                "it is longer than a hundred years",
            ));
        }
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let part = |number: u128| u64::try_from(number).map_err(|_| no_period());
        Ok(Self(
            Duration::from_secs(part(seconds)?) + Duration::from_nanos(part(nanos)?),
        ))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as 30s")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Period, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Period, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Period, E> {
                self.visit_str(&seconds.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "period" })
    }
}
