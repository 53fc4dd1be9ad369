//! What the environment and flags say.

use std::ffi::OsString;

use serde_json::Value;

use super::{
    Origin, Problem, Schema, Setting,
    nearest::{nearest, nearest_key},
    problem::Found,
    tree::Tree,
};

/// Reads the variables that begin with the schema's prefix.
///
/// Without a section (`__`) a variable that is no option may be anybody's, and counts only where it is nearly one.
pub(super) fn read(variables: &[(OsString, OsString)], schema: &Schema, tree: &mut Tree, found: &mut Found) {
    let names: Vec<_> = schema
        .settings
        .iter()
        .map(|setting| schema.variable(setting))
        .collect();
    let prefix = format!("{}_", schema.prefix.to_uppercase());
    let mut ours: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(&prefix))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let origin = Origin::Variable(name.to_owned());
        let Some(at) = names.iter().position(|known| known == name) else {
            // As a key, so that the prefix, which all have, makes no two alike.
            let key = name[prefix.len()..].to_lowercase().replace("__", ".");
            let keys = schema.settings.iter().map(|setting| &*setting.key);
            let meant = match key.contains('.') {
                true => nearest_key(&key, keys),
                false => nearest(&key, keys.filter(|key| !key.contains('.'))),
            };
            if meant.is_some() || key.contains('.') {
                let meant = meant.and_then(|key| Some(schema.variable(schema.get(key)?)));
                found.push(Problem::new("there is no such option").at(origin).nearest(meant));
            }
            continue;
        };
        let setting = &schema.settings[at];
        let value = match value.to_str() {
            Some(text) => setting.kind.read(text, !setting.secret),
            None => Err("its value is no UTF-8".to_owned()),
        };
        take(setting, value, origin, tree, found);
    }
}

/// Reads the flags: the last of each, or all of those that hold several values.
pub(super) fn read_flags(flags: &[(String, String)], schema: &Schema, tree: &mut Tree, found: &mut Found) {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, text) in flags {
        match named.iter_mut().find(|(known, _)| known == name) {
            Some((_, texts)) => texts.push(text),
            None => named.push((name, vec![text])),
        }
    }
    for (name, texts) in named {
        let origin = Origin::Flag(name.to_owned());
        let Some(setting) = schema.settings.iter().find(|setting| setting.flag == name) else {
            let meant = nearest(name, schema.settings.iter().map(|setting| &*setting.flag));
            let meant = meant.map(|flag| format!("--{flag}"));
            found.push(Problem::new("there is no such option").at(origin).nearest(meant));
            continue;
        };
        take(
            setting,
            setting.kind.read_all(texts, !setting.secret),
            origin,
            tree,
            found,
        );
    }
}

fn take(setting: &Setting, value: Result<Value, String>, origin: Origin, tree: &mut Tree, found: &mut Found) {
    match value {
        Ok(value) => tree.set(&setting.key, value, origin),
        Err(why) => found.push(Problem::new(why).at(origin).of(&setting.key)),
    }
}
