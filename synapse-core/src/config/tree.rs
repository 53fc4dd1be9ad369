//! Values that were given, and where each comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Origin;

/// Values by their dotted keys; the last one given counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(BTreeMap<String, (Value, Origin)>);

impl Tree {
    pub(super) fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.0.insert(key.to_owned(), (value, origin));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|(value, _)| value)
    }

    pub(super) fn origin(&self, key: &str) -> Origin {
        self.0
            .get(key)
            .map(|(_, origin)| origin.clone())
            .unwrap_or_default()
    }

    /// The values of these keys, over `defaults`.
    pub(super) fn over<'a>(&self, defaults: &Value, keys: impl IntoIterator<Item = &'a str>) -> Value {
        let mut root = defaults.clone();
        for key in keys {
            let Some(value) = self.value(key) else {
                continue;
            };
            let mut at = &mut root;
            for part in key.split('.') {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at = &mut at[part];
            }
            *at = value.clone();
        }
        root
    }
}
