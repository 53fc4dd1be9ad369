//! Edits put into a body, every other byte as it was.

use std::ops::Range;

use bytes::Bytes;
use synapse_core::{Edits, Error, View};

use super::Shape;

pub(super) fn splice(shape: Shape, body: &Bytes, view: &View, edits: &Edits) -> Result<Bytes, Error> {
    let mut splice = Splice {
        view,
        replaced: Vec::new(),
        added: Vec::new(),
    };
    if let Some(model) = &edits.model {
        let quoted = serde_json::to_string(model).map_err(|error| {
            Error::internal("render_failed", "a name could not be written").with_source(error)
        })?;
        splice.set("model", quoted);
    }
    if let Some(tokens) = edits.max_tokens {
        generates(shape, "max_tokens")?;
        // Whichever the body has is replaced, both if it has both. Where it has none `max_tokens` is added: every engine
        // knows that name, and few know the newer one.
        let newer = splice.replace("max_completion_tokens", tokens.to_string());
        if !splice.replace("max_tokens", tokens.to_string()) && !newer {
            splice.added.push(("max_tokens", tokens.to_string()));
        }
    }
    if let Some(top) = edits.top_logprobs {
        generates(shape, "logprobs")?;
        if shape == Shape::Chat {
            splice.set("logprobs", "true".to_owned());
            splice.set("top_logprobs", top.to_string());
        } else {
            splice.set("logprobs", top.to_string());
        }
    }
    splice.apply(body)
}

fn generates(shape: Shape, field: &str) -> Result<(), Error> {
    match shape {
        Shape::Embeddings => Err(Error::unsupported(
            "field_unsupported",
            format!("a request for embeddings has no {field}"),
        )),
        _ => Ok(()),
    }
}

struct Splice<'a> {
    view: &'a View,
    replaced: Vec<(Range<usize>, String)>,
    added: Vec<(&'static str, String)>,
}

impl Splice<'_> {
    fn set(&mut self, name: &'static str, value: String) {
        if !self.replace(name, value.clone()) {
            self.added.push((name, value));
        }
    }

    fn replace(&mut self, name: &str, value: String) -> bool {
        let range = self.view.field(name);
        let known = range.is_some();
        self.replaced.extend(range.map(|range| (range, value)));
        known
    }

    fn apply(mut self, body: &Bytes) -> Result<Bytes, Error> {
        let foreign = || Error::internal("view_mismatch", "a body was edited with the view of another one");
        let open = body.iter().position(|byte| *byte == b'{').ok_or_else(foreign)? + 1;
        let rest = body[open..].trim_ascii_start();
        let mut prefix = Vec::new();
        for (name, value) in &self.added {
            if !prefix.is_empty() {
                prefix.push(b',');
            }
            prefix.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
        }
        if !prefix.is_empty() && rest.first() != Some(&b'}') {
            prefix.push(b',');
        }
        self.replaced.sort_by_key(|(range, _)| range.start);
        let grown: usize = self.replaced.iter().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(body.len() + prefix.len() + grown);
        out.extend_from_slice(&body[..open]);
        out.extend_from_slice(&prefix);
        let mut at = open;
        for (range, value) in &self.replaced {
            out.extend_from_slice(body.get(at..range.start).ok_or_else(foreign)?);
            out.extend_from_slice(value.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(body.get(at..).ok_or_else(foreign)?);
        Ok(out.into())
    }
}
