//! One known field of a body, and how its value is read.

use std::{borrow::Cow, ops::RangeInclusive};

use synapse_core::Error;

use super::{json, level::Level};

/// One known field of a body, unread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) level: Level,
    pub(super) name: &'static str,
    pub(super) raw: &'a str,
}

impl<'a> Field<'a> {
    pub(super) fn path(&self) -> String {
        self.level.path(self.name)
    }

    pub(super) fn is_null(&self) -> bool {
        self.raw == "null"
    }

    pub(super) fn string(&self) -> Result<Cow<'a, str>, Error> {
        if !self.raw.starts_with('"') {
            return Err(self.wrong_type("a string"));
        }
        string(self.raw)
    }

    pub(super) fn boolean(&self) -> Result<bool, Error> {
        match self.raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, Error> {
        if !is_number(self.raw) {
            return Err(self.wrong_type("an integer"));
        }
        self.raw
            .parse()
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                self.out_of_range(&format!("an integer from {} to {}", range.start(), range.end()))
            })
    }

    /// As [`integer`](Self::integer), as the type that holds it; the range must fit it.
    pub(super) fn integer_as<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Result<T, Error> {
        let value = self.integer(range)?;
        T::try_from(value).map_err(|_| self.out_of_range("a smaller integer"))
    }

    /// A number that lies in `range` as it is written and as it is kept.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sampling parameters are kept as f32"
    )]
    pub(super) fn number(&self, range: RangeInclusive<f32>) -> Result<f32, Error> {
        if !is_number(self.raw) {
            return Err(self.wrong_type("a number"));
        }
        let wide = f64::from(*range.start())..=f64::from(*range.end());
        self.raw
            .parse::<f64>()
            .ok()
            .filter(|value| wide.contains(value) && range.contains(&(*value as f32)))
            .map(|value| value as f32)
            .ok_or_else(|| self.out_of_range(&format!("a number from {} to {}", range.start(), range.end())))
    }

    pub(super) fn wrong_type(&self, wanted: &str) -> Error {
        let path = self.path();
        let (found, shown) = (json::kind(self.raw), json::shown(self.raw));
        Error::invalid(
            "invalid_type",
            format!("{path} is {found} ({shown}), and {wanted} is wanted"),
        )
        .with_param(path)
    }

    pub(super) fn out_of_range(&self, wanted: &str) -> Error {
        let path = self.path();
        let shown = json::shown(self.raw);
        Error::invalid(
            "out_of_range",
            format!("{path} is {shown}, and {wanted} is wanted"),
        )
        .with_param(path)
    }
}

/// What a string's JSON says, borrowed where nothing in it is escaped.
pub(super) fn string(raw: &str) -> Result<Cow<'_, str>, Error> {
    if raw.contains('\\') {
        return serde_json::from_str(raw).map(Cow::Owned).map_err(json::invalid);
    }
    Ok(Cow::Borrowed(&raw[1..raw.len() - 1]))
}

pub(super) fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}
