//! Names of one model, as Ollama's users have them: `m` is `m:latest`.

use std::borrow::Cow;

/// The other name of the same model, where it has one: without a tag, or with the tag `latest`.
pub(crate) fn other_name(model: &str) -> Option<Cow<'_, str>> {
    match model.split_once(':') {
        None => Some(format!("{model}:latest").into()),
        Some((bare, "latest")) => Some(bare.into()),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest_and_no_other() {
        for (model, other) in [
            ("m", Some("m:latest")),
            ("m:latest", Some("m")),
            ("m:8b", None),
            ("host:5000/m:latest", None),
        ] {
            assert_eq!(other_name(model).as_deref(), other, "{model}");
        }
    }
}
