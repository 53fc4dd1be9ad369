//! From an output to an HTTP reply: which way it takes.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use synapse_core::{Error, Framing, Head, Input, Output};

use super::{api::Options, stream, whole};
use crate::{
    dialect::{OpenAi, openai::ReplyShape},
    headers::MINER,
};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What must be known of a request to answer it, once the module has taken it.
pub(super) struct Asked {
    pub(super) stream: bool,
    pub(super) shape: ReplyShape,
}

impl Asked {
    pub(super) fn of(input: &Input, id: &str) -> Result<Self, Error> {
        Ok(Self {
            stream: input.wants_stream()?,
            shape: ReplyShape::of(input, id)?,
        })
    }
}

pub(super) async fn respond(output: Output, asked: Asked, options: &Options) -> Result<Response, Error> {
    let Output { head, body } = output;
    let content_type = head.content_type();
    let framing = content_type.map(|given| OpenAi::DIALECT.framing(Some(given)));
    let mut response = match (framing, asked.stream) {
        // The same on both sides: as it comes.
        (None, true) | (Some(Framing::Sse), true) => {
            let mut response = Response::new(stream::events(body, asked.shape, options));
            streaming(response.headers_mut(), content_type.cloned().unwrap_or(EVENTS));
            response
        }
        (None, false) | (Some(Framing::Whole), false) => {
            let whole = whole::whole(body, asked.shape, options).await?;
            whole.into_response(content_type.cloned().unwrap_or(JSON))
        }
        // The client asked for one and the module answered the other.
        (Some(Framing::Sse), false) => {
            let whole = whole::folded(body, asked.shape, options).await?;
            whole.into_response(JSON)
        }
        (Some(Framing::Whole), true) => {
            let mut response = Response::new(stream::unfolded(body, asked.shape, options));
            streaming(response.headers_mut(), EVENTS);
            response
        }
        // Lines, audio, tensors: nothing that is known here.
        (Some(_), _) => {
            let mut response = Response::new(stream::bytes(body, options));
            let given = content_type.cloned().unwrap_or(JSON);
            response.headers_mut().insert(header::CONTENT_TYPE, given);
            response
        }
    };
    name_miner(&mut response, &head, options);
    Ok(response)
}

fn streaming(headers: &mut HeaderMap, content_type: HeaderValue) {
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

fn name_miner(response: &mut Response, head: &Head, options: &Options) {
    let miner = head.served_by().or(options.node_id.as_ref());
    if let Some(Ok(miner)) = miner.map(|miner| HeaderValue::try_from(miner.as_str())) {
        response.headers_mut().insert(MINER, miner);
    }
}
