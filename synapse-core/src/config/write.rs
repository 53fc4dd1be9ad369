//! Values as a file has them.

use serde_json::Value;

/// A value in TOML, on one line.
pub(super) fn toml(value: &Value) -> String {
    match value {
        // No option is null, and what a list of them holds neither.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text_of(text),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(name, value)| format!("{} = {}", text_of(name), toml(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// JSON's strings are TOML's, but for a character that only TOML counts among the control characters.
fn text_of(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
