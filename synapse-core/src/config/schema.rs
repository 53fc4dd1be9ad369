//! Which options there are.

use serde::Serialize;
use serde_json::Value;

use super::{Configuration, flatten, kind::Kind, order};

/// Every option of a [`Configuration`], in the order in which the type has them.
///
/// It is read off the type: names of fields are keys, doc comments are the help, `T::default()` has the defaults, and
/// the attributes of `schemars` have ranges (`range(min = 1)`), words (an enum) and what else is to be known:
///
/// | `#[schemars(extend("…" = …))]` | the option |
/// | --- | --- |
/// | `"x-flag" = "chain"` | has the flag `--chain`, rather than one made of its key; the first to have a flag keeps it |
/// | `"x-required" = true` | has no default: without it nothing starts |
/// | `"x-restart" = true` | takes effect only when the program starts |
/// | `"x-secret" = true` | is never shown |
/// | `"x-least" = "1s"`, `"x-most" = "1d"` | is a [`Period`](super::Period) within this |
/// | `"x-value" = "URL"` | has a value that `--help` calls so |
/// | `"x-example" = "miner-1"` | has this in the example file, where it has no default |
/// | `"x-shown" = true` | is not commented out there, although nobody has to say it |
#[derive(Debug, Clone)]
pub struct Schema {
    pub(super) sections: Vec<Section>,
    pub(super) settings: Vec<Setting>,
    pub(super) prefix: String,
}

/// One option.
#[derive(Debug, Clone)]
pub struct Setting {
    pub(super) key: String,
    pub(super) doc: String,
    pub(super) kind: Kind,
    pub(super) default: Value,
    pub(super) example: Option<Value>,
    pub(super) flag: String,
    pub(super) value_name: Option<String>,
    pub(super) shown: bool,
    pub(super) required: bool,
    pub(super) restart: bool,
    pub(super) secret: bool,
}

/// Options that belong together, and what they are for.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) key: String,
    pub(super) doc: String,
}

impl Schema {
    /// The options of a type.
    ///
    /// # Panics
    /// Where a field is nothing that an option can be: it takes switches, numbers, texts, [`Period`](super::Period)s,
    /// enums of bare words, lists and tables of those, all of it or not at all (`Option`), and structs of those.
    #[must_use]
    pub fn of<T: Configuration>() -> Self {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let described = settings.into_generator().into_root_schema_for::<T>();
        let default = T::default();
        let order = order::of(&default);
        let defaults = value_of(&default);
        let (sections, settings) = flatten::flatten(described.as_value(), &defaults, &order);
        Self {
            sections,
            settings,
            prefix: "SYNAPSE".to_owned(),
        }
    }

    /// The same with environment variables that begin with `prefix`, rather than with `SYNAPSE`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// All options.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The option of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The environment variable of an option: `SYNAPSE_POOL__ATTEMPTS` of `pool.attempts`.
    #[must_use]
    pub fn variable(&self, setting: &Setting) -> String {
        format!("{}_{}", self.prefix, setting.key.replace('.', "__")).to_uppercase()
    }

    /// What a section is for.
    #[must_use]
    pub fn section_doc(&self, section: &str) -> &str {
        let found = self.sections.iter().find(|one| one.key == section);
        found.map_or("", |section| &section.doc)
    }

    pub(super) fn is_section(&self, key: &str) -> bool {
        self.sections.iter().any(|section| section.key == key)
    }
}

impl Setting {
    /// Its name in a file, with its sections: `pool.attempts`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it is for.
    #[must_use]
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// Its flag, without the dashes.
    #[must_use]
    pub fn flag(&self) -> &str {
        &self.flag
    }

    /// What `--help` calls its value.
    #[must_use]
    pub fn value_name(&self) -> &str {
        let usual = match &self.kind {
            Kind::Switch => "true|false",
            Kind::Integer { .. } | Kind::Number { .. } => "N",
            Kind::Text => "TEXT",
            Kind::Word(_) => "WORD",
            Kind::Period { .. } => "TIME",
            Kind::List(_) => "ITEM",
            Kind::Table(_) => "NAME=VALUE",
        };
        self.value_name.as_deref().unwrap_or(usual)
    }

    /// What it takes, in words.
    #[must_use]
    pub fn takes(&self) -> String {
        self.kind.to_string()
    }

    /// What the section that it is in is called; the empty text for none.
    #[must_use]
    pub fn section(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// What it is where nobody says, as a file has it; `None` where it is not there then.
    #[must_use]
    pub fn default_text(&self) -> Option<String> {
        let there = !self.required && !self.default.is_null();
        there.then(|| super::write::toml(&self.default))
    }

    /// The words that it may be, where it may only be those.
    #[must_use]
    pub fn words(&self) -> &[String] {
        match &self.kind {
            Kind::Word(words) => words,
            _ => &[],
        }
    }

    /// Whether it is true or false, so that its flag may go without a value.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    /// Whether it holds several values, so that its flag may be given several times.
    #[must_use]
    pub fn is_many(&self) -> bool {
        matches!(self.kind, Kind::List(_) | Kind::Table(_))
    }

    /// Whether nothing starts without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether it takes effect only when the program starts.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        self.restart
    }

    /// Whether it is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// A value as it may be shown.
    pub(super) fn show(&self, value: &Value) -> String {
        match value {
            Value::Null => "nothing".to_owned(),
            _ if self.secret => "(secret)".to_owned(),
            value => super::write::toml(value),
        }
    }
}

/// A configuration as a tree of values.
pub(super) fn value_of(configuration: &impl Serialize) -> Value {
    serde_json::to_value(configuration).expect("a configuration is made of texts, numbers, lists and tables")
}

/// The value of a dotted key; nothing where there is none.
pub(super) fn value_at<'a>(tree: &'a Value, key: &str) -> &'a Value {
    key.split('.')
        .fold(tree, |tree, part| tree.get(part).unwrap_or(&Value::Null))
}
