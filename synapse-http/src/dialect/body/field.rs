//! One known field of a body, and how its value is read.

use std::{borrow::Cow, ops::RangeInclusive};

use synapse_core::Error;

use super::{Level, elements, json};

/// How many stop texts a request may have; OpenAI takes 4, other engines more.
const MAX_STOPS: usize = 16;

/// One known field of a body, unread.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) struct Field<'a> {
    pub(in crate::dialect) level: Level,
    pub(in crate::dialect) name: &'static str,
    pub(in crate::dialect) raw: &'a str,
}

impl<'a> Field<'a> {
    pub(in crate::dialect) fn path(&self) -> String {
        self.level.path(self.name)
    }

    pub(in crate::dialect) fn is_null(&self) -> bool {
        self.raw == "null"
    }

    pub(in crate::dialect) fn is_number(&self) -> bool {
        is_number(self.raw)
    }

    pub(in crate::dialect) fn string(&self) -> Result<Cow<'a, str>, Error> {
        if !self.raw.starts_with('"') {
            return Err(self.wrong_type("a string"));
        }
        string(self.raw)
    }

    pub(in crate::dialect) fn boolean(&self) -> Result<bool, Error> {
        match self.raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    pub(in crate::dialect) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, Error> {
        if !self.is_number() {
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
    pub(in crate::dialect) fn integer_as<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
    ) -> Result<T, Error> {
        let value = self.integer(range)?;
        T::try_from(value).map_err(|_| self.out_of_range("a smaller integer"))
    }

    /// A number that lies in `range` as it is written and as it is kept.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sampling parameters are kept as f32"
    )]
    pub(in crate::dialect) fn number(&self, range: RangeInclusive<f32>) -> Result<f32, Error> {
        if !self.is_number() {
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

    /// Texts that end a reply: one, or an array of them.
    pub(in crate::dialect) fn stops(&self) -> Result<Vec<String>, Error> {
        let mut stops = Vec::new();
        let mut push = |field: &Field<'_>| {
            let text = field.string()?;
            if text.is_empty() {
                return Err(field.out_of_range("a text that is not empty"));
            }
            stops.push(text.into_owned());
            Ok(())
        };
        match self.raw.as_bytes().first() {
            Some(b'"') => push(self)?,
            Some(b'[') => elements(self.raw, |index, raw| {
                if index >= MAX_STOPS {
                    return Err(self.out_of_range(&format!("an array of at most {MAX_STOPS} texts")));
                }
                push(&Field { raw, ..*self })
            })?,
            _ => return Err(self.wrong_type("a string or an array of strings")),
        }
        Ok(stops)
    }

    pub(in crate::dialect) fn wrong_type(&self, wanted: &str) -> Error {
        let path = self.path();
        let (found, shown) = (json::kind(self.raw), json::shown(self.raw));
        Error::invalid(
            "invalid_type",
            format!("{path} is {found} ({shown}), and {wanted} is wanted"),
        )
        .with_param(path)
    }

    pub(in crate::dialect) fn out_of_range(&self, wanted: &str) -> Error {
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
pub(in crate::dialect) fn string(raw: &str) -> Result<Cow<'_, str>, Error> {
    if raw.contains('\\') {
        return serde_json::from_str(raw).map(Cow::Owned).map_err(json::invalid);
    }
    Ok(Cow::Borrowed(&raw[1..raw.len() - 1]))
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Two fields that contradict each other.
pub(in crate::dialect) fn conflict(field: &Field<'_>, message: String, hint: &'static str) -> Error {
    Error::invalid("conflicting_fields", message)
        .with_param(field.path())
        .with_hint(hint)
}
