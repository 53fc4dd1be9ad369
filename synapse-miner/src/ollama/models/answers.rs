//! What Ollama says of its models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Listed<T> {
    pub(super) models: Vec<T>,
}

/// A model on Ollama's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Model {
    /// Its name with its tag: `smollm2:latest`.
    pub name: String,
    /// The digest of its manifest, as hex digits; that of its weights is in [`ModelDetails::weights`].
    #[serde(default)]
    pub digest: String,
    /// Its size on disk, in bytes.
    #[serde(default)]
    pub size: u64,
    /// When it was fetched or made, as Ollama writes it: RFC 3339.
    #[serde(default)]
    pub modified_at: String,
    /// The host that does its work, where that is not this machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remote_host: String,
}

/// A model in Ollama's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadedModel {
    /// Its name with its tag.
    pub name: String,
    /// What it takes of all memory, in bytes.
    #[serde(default)]
    pub size: u64,
    /// What it takes of that on accelerators, in bytes.
    #[serde(default)]
    pub size_vram: u64,
    /// Prompt and reply together, in tokens; 0 where Ollama does not say.
    #[serde(default)]
    pub context_length: u32,
    /// When it is unloaded unless it is used, as Ollama writes it: RFC 3339.
    #[serde(default)]
    pub expires_at: String,
}

/// What a model is and can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ModelDetails {
    /// What it can do, in Ollama's words: `completion`, `embedding`, `vision`, `tools`, `thinking`, `insert`.
    pub capabilities: Vec<String>,
    /// The file that it can be made anew from.
    pub modelfile: String,
    /// Its own defaults, a line each: a name and a value.
    pub parameters: String,
    /// How messages become a prompt, in Go's template language.
    pub template: String,
    /// What every conversation begins with.
    pub system: String,
    /// Its licence's text.
    pub license: String,
    /// Family, size and quantisation.
    pub details: BTreeMap<String, Value>,
    /// What its file says of it: architecture, context, vocabulary.
    pub model_info: BTreeMap<String, Value>,
}

impl ModelDetails {
    /// Whether it can do this, in Ollama's words.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// The digest of its weights' file, `sha256:…`.
    #[must_use]
    pub fn weights(&self) -> Option<String> {
        let of_blob = |line: &str| {
            let (_, hex) = line.strip_prefix("FROM ")?.rsplit_once("sha256-")?;
            let hex = hex.trim();
            let good = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            good.then(|| format!("sha256:{hex}"))
        };
        self.modelfile.lines().find_map(of_blob)
    }

    /// The longest context that it was trained on, in tokens.
    #[must_use]
    pub fn trained_context(&self) -> Option<u32> {
        let of_model = |(name, value): (&String, &Value)| {
            let named = name.ends_with(".context_length");
            named.then(|| value.as_u64()).flatten()
        };
        self.model_info.iter().find_map(of_model)?.try_into().ok()
    }

    /// A value among its own defaults, such as `num_ctx`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.lines().find_map(|line| {
            let (known, value) = line.split_once(char::is_whitespace)?;
            (known == name).then(|| value.trim())
        })
    }
}

/// Whether two names are the same model's: `smollm2` is `smollm2:latest`.
pub(in crate::ollama) fn same_name(one: &str, other: &str) -> bool {
    fn parts(name: &str) -> (&str, &str) {
        match name.rsplit_once(':') {
            // A colon before a slash is a port's.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (name, "latest"),
        }
    }
    let ((one, tag), (other, other_tag)) = (parts(one), parts(other));
    one.eq_ignore_ascii_case(other) && tag.eq_ignore_ascii_case(other_tag)
}
