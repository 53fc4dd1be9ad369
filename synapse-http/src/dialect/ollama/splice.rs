//! Edits put into a body, every other byte as it was.

use bytes::Bytes;
use synapse_core::{Edits, Error, View};

use super::Shape;
use crate::dialect::body::Splice;

pub(super) fn splice(shape: Shape, body: &Bytes, view: &View, edits: &Edits) -> Result<Bytes, Error> {
    let mut splice = Splice::new(view);
    if let Some(model) = &edits.model {
        splice.set_text("model", model)?;
    }
    if let Some(tokens) = edits.max_tokens {
        generates(shape, "options.num_predict")?;
        cap(&mut splice, body, view, tokens)?;
    }
    if let Some(top) = edits.top_logprobs {
        generates(shape, "logprobs")?;
        splice.set("logprobs", "true".to_owned());
        splice.set("top_logprobs", top.to_string());
    }
    splice.apply(body)
}

/// The body with `keep_alive` left to whoever runs the engine: how long a model stays loaded is not a caller's to say.
pub(super) fn without_keep_alive(body: &Bytes, view: &View) -> Result<Option<Bytes>, Error> {
    let mut splice = Splice::new(view);
    match splice.replace("keep_alive", "null".to_owned()) {
        true => splice.apply(body).map(Some),
        false => Ok(None),
    }
}

/// The cap lies within `options`, which may be missing, null or empty.
fn cap(splice: &mut Splice<'_>, body: &Bytes, view: &View, tokens: u32) -> Result<(), Error> {
    if splice.replace("options.num_predict", tokens.to_string()) {
        return Ok(());
    }
    let Some(options) = view.field("options") else {
        splice.add("options", format!("{{\"num_predict\":{tokens}}}"));
        return Ok(());
    };
    let raw = body
        .get(options.clone())
        .ok_or_else(|| Error::internal("view_mismatch", "a body was edited with the view of another one"))?;
    match raw.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) {
        None => splice.put(options, format!("{{\"num_predict\":{tokens}}}")),
        Some(rest) => {
            let comma = if rest.starts_with(b"}") { "" } else { "," };
            let inside = options.start + 1;
            splice.put(inside..inside, format!("\"num_predict\":{tokens}{comma}"));
        }
    }
    Ok(())
}

fn generates(shape: Shape, field: &str) -> Result<(), Error> {
    match shape.is_vectors() {
        true => Err(Error::unsupported(
            "field_unsupported",
            format!("a request for embeddings has no {field}"),
        )),
        false => Ok(()),
    }
}
