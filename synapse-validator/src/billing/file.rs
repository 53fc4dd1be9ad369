//! Reading a price book.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    str::FromStr,
};

use synapse_core::{Date, Error, Micros};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Price, PriceBook,
    book::{Sale, Version},
    moment::Moment,
};

/// A price book of more is another file.
const LARGEST: u64 = 1024 * 1024;

impl PriceBook {
    /// Reads a price book of at most a mebibyte.
    ///
    /// # Errors
    /// `price_book_unreadable` where there is no such file, and `invalid_price_book` with the line where it is wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let unreadable = |why: io::Error| {
            Error::invalid(
                "price_book_unreadable",
                format!("the price book {} cannot be read: {why}", path.display()),
            )
        };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        Reader::new(&path.display().to_string(), &text).book()
    }
}

impl FromStr for PriceBook {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Reader::new("price book", text).book()
    }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

/// A place in the file.
type At = usize;

impl<'a> Reader<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text }
    }

    fn book(&self) -> Result<PriceBook, Error> {
        if self.text.len() as u64 > LARGEST {
            return Err(self.wrong(0, "it is larger than a mebibyte"));
        }
        let table = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, error.message())
        })?;
        let mut versions = Vec::new();
        for (key, value) in table.get_ref() {
            let at = key.span().start;
            match (&**key.get_ref(), value.get_ref()) {
                ("version", DeValue::Array(all)) => {
                    for version in all {
                        let at = version.span().start;
                        let DeValue::Table(table) = version.get_ref() else {
                            return Err(self.wrong(at, "a version is a table; write [[version]]"));
                        };
                        versions.push((at, self.version(at, table)?));
                    }
                }
                ("version", _) => return Err(self.wrong(at, "write [[version]], since there may be several")),
                (other, _) => return Err(self.unknown(at, other, "[[version]]")),
            }
        }
        if versions.is_empty() {
            return Err(self.wrong(0, "it has no prices; write [[version]]"));
        }
        self.check(&versions)?;
        Ok(PriceBook::new(
            versions.into_iter().map(|(_, version)| version).collect(),
        ))
    }

    fn version(&self, at: At, table: &DeTable<'_>) -> Result<Version, Error> {
        let (mut number, mut from, mut until) = (None, None, None);
        let (mut models, mut default) = (BTreeMap::new(), None);
        for (key, value) in table {
            let at = value.span().start;
            match (&**key.get_ref(), value.get_ref()) {
                ("number", DeValue::Integer(digits)) => {
                    let value = u32::from_str_radix(digits.as_str(), digits.radix()).ok();
                    let value = value.filter(|number| *number > 0);
                    number = Some(value.ok_or_else(|| self.wrong(at, "a version's number is 1 or more"))?);
                }
                ("number", _) => return Err(self.wrong(at, "a version's number is a whole number")),
                ("from", value) => from = Some(self.moment(at, value)?),
                ("until", value) => until = Some(self.moment(at, value)?),
                ("models", DeValue::Table(named)) => {
                    for (model, sale) in named {
                        models.insert(model.get_ref().to_string(), self.sale(model.get_ref(), sale)?);
                    }
                }
                ("models", _) => return Err(self.wrong(at, "write [version.models.NAME]")),
                ("default", _) => default = Some(self.sale("default", value)?),
                (other, _) => {
                    return Err(self.unknown(
                        key.span().start,
                        other,
                        "number, from, until, models, default",
                    ));
                }
            }
        }
        let version = Version {
            number: number.ok_or_else(|| self.wrong(at, "this version has no number"))?,
            from: from.ok_or_else(|| self.wrong(at, "this version does not say from when it holds"))?,
            until,
            models,
            default,
        };
        if version.models.is_empty() && version.default.is_none() {
            return Err(self.wrong(at, "this version has no prices"));
        }
        Ok(version)
    }

    fn sale(&self, model: &str, value: &Spanned<DeValue<'_>>) -> Result<Sale, Error> {
        let start = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(start, &format!("the price of {model:?} is a table")));
        };
        let (mut prompt, mut completion, mut free, mut withdrawn) = (None, None, false, false);
        for (key, value) in table {
            let at = value.span().start;
            match (&**key.get_ref(), value.get_ref()) {
                ("prompt", value) => prompt = Some(self.amount(at, value)?),
                ("completion", value) => completion = Some(self.amount(at, value)?),
                ("free", DeValue::Boolean(value)) => free = *value,
                ("withdrawn", DeValue::Boolean(value)) => withdrawn = *value,
                ("free" | "withdrawn", _) => return Err(self.wrong(at, "it is true or false")),
                (other, _) => {
                    let known = "prompt, completion, free, withdrawn";
                    return Err(self.unknown(key.span().start, other, known));
                }
            }
        }
        match (prompt, completion, free, withdrawn) {
            (Some(prompt), Some(completion), false, false) => {
                let price = Price::per_million(prompt, completion);
                if price.is_free() {
                    let why = format!("{model:?} costs nothing; where that is meant, write free = true");
                    return Err(self.wrong(start, &why));
                }
                Ok(Sale::At(price))
            }
            (None, None, true, false) => Ok(Sale::At(Price::FREE)),
            (None, None, false, true) => Ok(Sale::Withdrawn),
            (_, _, false, false) => Err(self.wrong(
                start,
                &format!("{model:?} has no price; write both prompt and completion, or free = true"),
            )),
            _ => Err(self.wrong(
                start,
                &format!("{model:?} has a price, is free, or is withdrawn: only one of them"),
            )),
        }
    }

    fn amount(&self, at: At, value: &DeValue<'_>) -> Result<Micros, Error> {
        match value {
            DeValue::String(text) => text
                .parse()
                .map_err(|error: Error| self.wrong(at, &error.to_string())),
            _ => Err(self.wrong(
                at,
                "an amount is written in quotes, in units with at most six digits behind the point, such as \"0.15\"",
            )),
        }
    }

    fn moment(&self, at: At, value: &DeValue<'_>) -> Result<Moment, Error> {
        let wrong = |why: &str| {
            let form = "write a day of UTC such as 2026-11-01, or a time such as 2026-11-01T09:00:00Z";
            Err(self.wrong(at, &format!("{why}; {form}")))
        };
        let DeValue::Datetime(written) = value else {
            return wrong("this is no date");
        };
        let Some(date) = &written.date else {
            return wrong("this time has no date");
        };
        let Ok(day) = date.to_string().parse::<Date>() else {
            return wrong("there is no such day");
        };
        let midnight = Moment::midnight(day);
        let Some(time) = &written.time else {
            return Ok(midnight);
        };
        let offset = written.offset.as_ref().map(ToString::to_string);
        if !matches!(offset.as_deref(), Some("Z" | "+00:00")) {
            return wrong("this time is not said to be UTC");
        }
        if time.nanosecond.is_some_and(|nanosecond| nanosecond > 0) {
            return wrong("a version begins at a whole second");
        }
        let minutes = u64::from(time.hour) * 60 + u64::from(time.minute);
        let seconds = minutes * 60 + u64::from(time.second.unwrap_or(0));
        Ok(Moment(midnight.0 + seconds * 1_000))
    }

    /// What is wrong between versions that each are right.
    fn check(&self, versions: &[(At, Version)]) -> Result<(), Error> {
        for (at, version) in versions {
            if version.until.is_some_and(|until| until <= version.from) {
                return Err(self.wrong(*at, "this version ends before it begins"));
            }
        }
        for pair in versions.windows(2) {
            let ((_, before), (at, after)) = (&pair[0], &pair[1]);
            let (old, new) = (before.number, after.number);
            if new <= old {
                let why = format!("version {new} comes after version {old}; each has the next number");
                return Err(self.wrong(*at, &why));
            }
            if after.from <= before.from {
                let why = format!(
                    "version {new} does not begin after version {old} does, which is {}",
                    before.from
                );
                return Err(self.wrong(*at, &why));
            }
            match before.until {
                Some(until) if until < after.from => {
                    let why = format!(
                        "nothing has a price from {until}, when version {old} ends, until {}, when version {new} begins",
                        after.from
                    );
                    return Err(self.wrong(*at, &why));
                }
                Some(until) if until > after.from => {
                    let why = format!(
                        "version {old} holds until {until}, and version {new} from {} already",
                        after.from
                    );
                    return Err(self.wrong(*at, &why));
                }
                _ => {}
            }
            let sold = before.models.iter().filter(|(_, sale)| **sale != Sale::Withdrawn);
            if let Some((model, _)) = sold.into_iter().find(|(model, _)| after.sale(model).is_none()) {
                let why = format!(
                    "{model:?} has a price in version {old} and none in version {new}; give it one, or write withdrawn = true"
                );
                return Err(self.wrong(*at, &why));
            }
            if before.default.is_some() && after.default.is_none() {
                let why = format!(
                    "version {old} has a price for models that it does not name, and version {new} has none; \
                     write [version.default]"
                );
                return Err(self.wrong(*at, &why));
            }
        }
        match versions.last() {
            Some((at, last)) if last.until.is_some() => {
                let why = "this version ends, and none begins then; leave out until, or add the next";
                Err(self.wrong(*at, why))
            }
            _ => Ok(()),
        }
    }

    fn unknown(&self, at: At, key: &str, known: &str) -> Error {
        let key: String = key.chars().take(64).collect();
        self.wrong(at, &format!("nobody knows {key:?} here, only {known}"))
    }

    fn wrong(&self, at: At, why: &str) -> Error {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before
            .iter()
            .fold(0, |lines, byte| lines + usize::from(*byte == b'\n'));
        Error::invalid("invalid_price_book", format!("{}:{line}: {why}", self.name))
    }
}
