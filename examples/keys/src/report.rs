//! What the program says, for people and for programs.

use std::io::Write;

use serde_json::{Value, json};
use synapse_core::{
    Error,
    keys::{KeyInfo, Mnemonic},
};

/// Prints a line of data: the text, or the value.
pub(crate) fn line(json: bool, text: &str, value: &Value) -> Result<(), Error> {
    if json {
        print(&value.to_string())
    } else {
        print(text)
    }
}

/// Prints a new key and its words, and warns whoever reads.
pub(crate) fn words(json: bool, key: &KeyInfo, words: &Mnemonic) -> Result<(), Error> {
    eprintln!("write these words down and keep them secret: they are the key, and they are not shown again");
    let mut value = described(key);
    value["mnemonic"] = words.reveal().into();
    line(json, words.reveal(), &value)?;
    if !json {
        eprintln!("{}  {}  {}", key.name(), key.scheme(), key.address());
    }
    Ok(())
}

pub(crate) fn described(key: &KeyInfo) -> Value {
    json!({ "name": key.name(), "scheme": key.scheme(), "address": key.address() })
}

pub(crate) fn failure(error: &Error, json: bool) {
    if json {
        let error = json!({ "code": error.code(), "message": error.message(), "hint": error.hint() });
        eprintln!("{}", json!({ "error": error }));
    } else {
        eprintln!("error: {error}");
    }
}

/// Prints at once; whoever reads may have gone, as `head` does.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let shown = writeln!(out, "{text}").and_then(|()| out.flush());
    shown.map_err(|error| Error::broken("output", "standard output takes no more").with_source(error))
}
