//! OpenAI's dialect: requests read, refused, edited and written; replies read.

mod edits;
mod properties;
mod replies;
mod requests;

use http::HeaderValue;
use synapse_core::{Bytes, Task, Wire};
use synapse_http::OpenAi;

fn wire(task: &Task, body: impl Into<Bytes>) -> Wire {
    let path = OpenAi::path(task).unwrap();
    Wire::new(
        OpenAi::DIALECT,
        path,
        HeaderValue::from_static("application/json"),
        body,
    )
}
