//! What an option may be.

use std::fmt;

use serde_json::{Map, Value};

use super::{Period, nearest::nearest};

/// What an option may be, as far as it can be said in a schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Switch,
    Integer {
        least: Option<i128>,
        most: Option<i128>,
    },
    Number {
        least: Option<f64>,
        most: Option<f64>,
    },
    Text,
    Word(Vec<String>),
    Period {
        least: Option<Period>,
        most: Option<Period>,
    },
    List(Box<Kind>),
    Table(Box<Kind>),
}

impl Kind {
    /// The value that a text stands for, as variables and flags have it. What is wrong says the value only if it may be
    /// `shown`: it may be a secret.
    pub(super) fn read(&self, text: &str, shown: bool) -> Result<Value, String> {
        let value = match self {
            Self::Switch => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => Value::from(text),
            },
            Self::Integer { .. } => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(number), _) => Value::from(number),
                (_, Ok(number)) => Value::from(number),
                _ => Value::from(text),
            },
            Self::Number { .. } => text
                .parse::<f64>()
                .map_or_else(|_| Value::from(text), Value::from),
            Self::Text | Self::Word(_) | Self::Period { .. } => Value::from(text),
            Self::List(_) | Self::Table(_) => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                return self.read_all(entries, shown);
            }
        };
        self.check(value, shown)
    }

    /// The value of a list or a table, of whose entries each is a text.
    pub(super) fn read_all<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a str>,
        shown: bool,
    ) -> Result<Value, String> {
        let of = match self {
            Self::Table(of) => of,
            Self::List(of) => return entries.into_iter().map(|entry| of.read(entry, shown)).collect(),
            other => return other.read(entries.into_iter().last().unwrap_or_default(), shown),
        };
        let mut table = Map::new();
        for entry in entries {
            let named = entry
                .split_once('=')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty());
            let (name, value) = named.ok_or("its entries are written NAME=VALUE")?;
            if table.insert(name.to_owned(), of.read(value, shown)?).is_some() {
                return Err("it has a name twice".to_owned());
            }
        }
        Ok(Value::Object(table))
    }

    /// The value, where it is one of this kind; else what is wrong with it.
    pub(super) fn check(&self, value: Value, shown: bool) -> Result<Value, String> {
        let other = |value: &Value| Err(format!("it is {}, and takes {self}", what(value, shown)));
        match (self, &value) {
            (Self::Switch, Value::Bool(_)) | (Self::Text, Value::String(_)) => Ok(value),
            (Self::Integer { least, most }, Value::Number(number)) => match integer(number) {
                Some(number) if within(&number, least.as_ref(), most.as_ref()) => Ok(value),
                _ => other(&value),
            },
            (Self::Number { least, most }, Value::Number(number)) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                if within(&number, least.as_ref(), most.as_ref()) {
                    Ok(value)
                } else {
                    other(&value)
                }
            }
            (Self::Word(words), Value::String(word)) if words.contains(word) => Ok(value),
            (Self::Word(words), Value::String(word)) => {
                let meant = nearest(word, words.iter().map(String::as_str));
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
                Err(format!("it is {}, and takes {self}{meant}", what(&value, shown)))
            }
            (Self::Period { least, most }, Value::String(_) | Value::Number(_)) => {
                let period: Result<Period, _> = serde_json::from_value(value.clone());
                match period {
                    Ok(period) if within(&period, least.as_ref(), most.as_ref()) => {
                        Ok(Value::from(period.to_string()))
                    }
                    _ => other(&value),
                }
            }
            (Self::List(of), Value::Array(items)) => {
                let items = items.iter().enumerate().map(|(at, item)| {
                    of.check(item.clone(), shown)
                        .map_err(|why| format!("number {} of the list is wrong: {why}", at + 1))
                });
                items.collect()
            }
            (Self::Table(of), Value::Object(entries)) => {
                let entries = entries.iter().map(|(name, entry)| {
                    let entry = of.check(entry.clone(), shown);
                    let entry = entry.map_err(|why| match shown {
                        true => format!("its entry {name:?} is wrong: {why}"),
                        false => format!("one of its entries is wrong: {why}"),
                    })?;
                    Ok((name.clone(), entry))
                });
                entries.collect::<Result<Map<_, _>, String>>().map(Value::Object)
            }
            _ => other(&value),
        }
    }
}

/// Says what it takes: "a whole number from 1 to 8".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Integer { least, most } => {
                // What the machine's numbers hold says nothing to a reader.
                let least = least.filter(|least| *least > i128::from(i64::MIN));
                let most = most.filter(|most| *most < i128::from(u32::MAX));
                range(f, "a whole number", least, most)
            }
            Self::Number { least, most } => range(f, "a number", *least, *most),
            Self::Text => f.write_str("a text"),
            Self::Word(words) => match words.split_last() {
                Some((last, rest)) if !rest.is_empty() => write!(f, "{} or {last}", rest.join(", ")),
                _ => f.write_str(&words.concat()),
            },
            Self::Period { least, most } => {
                range(f, "a length of time such as 30s, 250ms, 5m or 2h", *least, *most)
            }
            Self::List(of) => write!(f, "a list, each of it {of}"),
            Self::Table(of) => write!(f, "a table of names, each with {of}"),
        }
    }
}

fn range<N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    least: Option<N>,
    most: Option<N>,
) -> fmt::Result {
    f.write_str(what)?;
    match (least, most) {
        (Some(least), Some(most)) => write!(f, ", from {least} to {most}"),
        (Some(least), None) => write!(f, ", at least {least}"),
        (None, Some(most)) => write!(f, ", at most {most}"),
        (None, None) => Ok(()),
    }
}

fn integer(number: &serde_json::Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or(number.as_u64().map(i128::from))
}

fn within<N: PartialOrd>(number: &N, least: Option<&N>, most: Option<&N>) -> bool {
    // What cannot be compared, as a NaN, is within nothing; so nothing here may be `!(number < least)`.
    number.partial_cmp(number).is_some()
        && least.is_none_or(|least| number >= least)
        && most.is_none_or(|most| number <= most)
}

/// What a value is; which one only where it may be `shown`, and is short.
fn what(value: &Value, shown: bool) -> String {
    let text = value.to_string();
    let shown = shown && text.chars().count() <= 64;
    match value {
        Value::Bool(_) | Value::Number(_) if shown => text,
        Value::String(_) if shown => format!("the text {text}"),
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "another number".to_owned(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}
