//! Which models may be asked.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use synapse_core::{Error, ErrorKind, ModelInfo};

/// How many models an error names.
const NAMED: usize = 16;

/// The models that a request may ask for: all, or those of a list. An extension of the HTTP request that
/// [`ApiKeysLayer`](super::ApiKeysLayer) sets, and any layer may; the router refuses other models before its module is asked,
/// and lists no others. Without it all may be asked.
///
/// A name without a tag and the same with the tag `latest` are one model, as Ollama's users have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelScope(Option<Arc<BTreeSet<String>>>);

impl ModelScope {
    /// Every model, those to come too.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// These alone.
    pub fn only(models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Some(Arc::new(models.into_iter().map(Into::into).collect())))
    }

    /// The names of the list; `None` where all may be asked.
    #[must_use]
    pub fn names(&self) -> Option<impl Iterator<Item = &str>> {
        self.0.as_ref().map(|names| names.iter().map(String::as_str))
    }

    /// Whether this model may be asked.
    #[must_use]
    pub fn allows(&self, model: &str) -> bool {
        let Some(names) = &self.0 else { return true };
        let bare = model.strip_suffix(":latest").unwrap_or(model);
        let is_latest = || names.contains(bare) || names.contains(&format!("{bare}:latest"));
        names.contains(model) || (!bare.contains(':') && is_latest())
    }

    /// Whether all may be asked.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps those that may be asked.
    pub(crate) fn retain(&self, models: &mut Vec<ModelInfo>) {
        models.retain(|model| self.allows(&model.id));
    }

    /// Refuses a model that may not be asked, and names those that may.
    pub(crate) fn check(&self, model: &str) -> Result<(), Error> {
        if self.allows(model) {
            return Ok(());
        }
        let names: Vec<&str> = self.names().into_iter().flatten().collect();
        let more = match names.len().checked_sub(NAMED) {
            Some(more @ 1..) => format!(" and {more} more"),
            _ => String::new(),
        };
        let may = match names[..] {
            [] => "no model".to_owned(),
            _ => names[..names.len().min(NAMED)].join(", "),
        };
        let shown: String = model.chars().take(128).collect();
        Err(Error::new(
            ErrorKind::Forbidden,
            "model_not_allowed",
            format!("the model {shown:?} may not be asked with this API key, which is for {may}{more}"),
        )
        .with_param("model")
        .with_hint("ask one of those, or use another key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest_and_no_other() {
        let scope = ModelScope::only(["a", "b:latest", "c:8b"]);
        for (model, allowed) in [
            ("a", true),
            ("a:latest", true),
            ("a:8b", false),
            ("a:latest:latest", false),
            ("b", true),
            ("b:latest", true),
            ("c", false),
            ("c:8b", true),
            ("c:8b:latest", false),
            ("c:latest", false),
            ("", false),
            (":latest", false),
        ] {
            assert_eq!(scope.allows(model), allowed, "{model}");
            assert!(ModelScope::all().allows(model));
            assert!(!ModelScope::only([""; 0]).allows(model));
        }
    }
}
