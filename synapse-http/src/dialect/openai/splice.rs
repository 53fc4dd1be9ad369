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
        generates(shape, "max_tokens")?;
        // Whichever the body has is replaced, both if it has both. Where it has none `max_tokens` is added: every engine
        // knows that name, and few know the newer one.
        let newer = splice.replace("max_completion_tokens", tokens.to_string());
        if !splice.replace("max_tokens", tokens.to_string()) && !newer {
            splice.add("max_tokens", tokens.to_string());
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
