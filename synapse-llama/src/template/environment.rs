//! Jinja as chat templates expect it: Hugging Face's settings, functions and filters over minijinja.

use std::error::Error as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{json, time};

/// Steps, and runs of 64 bytes, that any rendering may take: some 20 ms of work and 64 MB.
const BASE_FUEL: u64 = 1_000_000;

/// The budget for a conversation of so many bytes.
pub(super) fn fuel_for(bytes: usize) -> u64 {
    BASE_FUEL.saturating_add(bytes as u64)
}

/// An environment with one template in it.
pub(super) fn compile(name: &'static str, source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    // A prompt is not HTML.
    environment.set_auto_escape_callback(|_name| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", json::tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", time::strftime_now);
    environment.add_template_owned(name, without_generation_tags(source))?;
    Ok(environment)
}

/// What went wrong, causes included, in one line.
pub(super) fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Drops `{% generation %}` and `{% endgeneration %}`, with which Hugging Face marks what is trained on.
fn without_generation_tags(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag_on) = rest.split_at(start);
        let length = tag_on.find("%}").map_or(tag_on.len(), |end| end + 2);
        let (tag, after) = tag_on.split_at(length);
        let word = tag
            .trim_start_matches("{%")
            .trim_end_matches("%}")
            .trim_matches(['-', '+', ' ', '\n', '\t']);
        kept.push_str(before);
        if word == "generation" || word == "endgeneration" {
            // A comment trims white space as the tag did.
            kept.push_str(&tag.replacen("{%", "{#", 1).replacen("%}", "#}", 1));
        } else {
            kept.push_str(tag);
        }
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generation_tags_are_dropped() {
        let source = "a{%- generation -%} b {% if x %}c{% endif %}{%endgeneration%}d {% open";
        let expected = "a{#- generation -#} b {% if x %}c{% endif %}{#endgeneration#}d {% open";
        assert_eq!(without_generation_tags(source), expected);
    }
}
