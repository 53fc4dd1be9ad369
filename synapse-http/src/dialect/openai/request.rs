//! A request as a value of its own.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, value::RawValue};
use synapse_core::{Error, Request, View};

use super::{Shape, params, prompt};
use crate::dialect::body::json;

pub(super) fn request(shape: Shape, body: &[u8], view: &View) -> Result<Request, Error> {
    let text = json::text(body)?;
    // Field by field, so that each has the parser's whole depth.
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).map_err(json::invalid)?;
    let mut asked = None;
    let mut request = Request::new(
        view.model().unwrap_or_default(),
        synapse_core::Prompt::Texts(Vec::new()),
    );
    request.params = view.params().clone();
    let text_task = shape != Shape::Embeddings;
    for (name, raw) in fields {
        if name == "model" || params::hold(shape, &name) {
            continue;
        }
        let mut value: Value = serde_json::from_str(raw.get()).map_err(json::invalid)?;
        if name == shape.prompt() {
            asked = prompt::read(shape, value);
            continue;
        }
        if text_task && name == "stream_options" {
            match value.as_object_mut() {
                Some(options) => drop(options.remove("include_usage")),
                None => continue,
            }
            if value.as_object().is_some_and(serde_json::Map::is_empty) {
                continue;
            }
        }
        request.other.insert(name.into_owned(), value);
    }
    request.prompt = asked.ok_or_else(|| {
        Error::internal(
            "view_mismatch",
            "a request was read whose view is of another body",
        )
    })?;
    Ok(request)
}
