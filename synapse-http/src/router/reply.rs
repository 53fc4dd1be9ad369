//! From an output to an HTTP reply: which way it takes.

use axum::{body::Body as HttpBody, response::Response};
use http::{HeaderName, HeaderValue, header};
use synapse_core::{Body, Error, Framing, Head, Input, Output, QueueWait, RateLimitStatus};

use super::{api::Options, rate_limit, stream, whole};
use crate::{
    dialect::{Form, OpenAi, ReplyShape},
    headers::{MINER, QUEUE_POSITION, QUEUE_WAIT_MS},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What must be known of a request to answer it, once the module has taken it.
pub(super) struct Asked {
    pub(super) stream: bool,
    pub(super) shape: ReplyShape,
}

impl Asked {
    pub(super) fn of(form: Form, input: &Input, id: &str) -> Result<Self, Error> {
        Ok(Self {
            stream: input.wants_stream()?,
            shape: ReplyShape::of(form, input, id)?,
        })
    }
}

pub(super) async fn respond(output: Output, asked: Asked, options: &Options) -> Result<Response, Error> {
    let Output { head, mut body } = output;
    let form = asked.shape.form();
    let content_type = head.content_type();
    let mut framing = content_type.map(|given| OpenAi::DIALECT.framing(Some(given)));
    if framing == Some(Framing::Lines) && form != Form::Ollama && !speaks_ollama(&mut body).await? {
        framing = Some(Framing::Unframed);
    }
    let mut response = match (framing, asked.stream) {
        // The same on both sides: as it comes.
        (None, true) => streaming(stream::events(body, asked.shape, options), form.content_type()),
        (Some(found), true) if found == form.framing() => {
            let given = content_type.cloned().unwrap_or_else(|| form.content_type());
            streaming(stream::events(body, asked.shape, options), given)
        }
        (None | Some(Framing::Whole), false) => {
            let whole = whole::whole(body, asked.shape, options).await?;
            whole.into_response(content_type.cloned().unwrap_or(JSON))
        }
        // The client asked for one and the module answered the other, or in another dialect.
        (Some(Framing::Sse | Framing::Lines), false) => {
            let whole = whole::folded(body, asked.shape, options).await?;
            whole.into_response(JSON)
        }
        (Some(Framing::Whole | Framing::Sse | Framing::Lines), true) => {
            streaming(stream::rewritten(body, asked.shape, options), form.content_type())
        }
        // Audio, tensors: nothing that is known here.
        (Some(_), _) => {
            let mut response = Response::new(stream::bytes(body, options));
            let given = content_type.cloned().unwrap_or(JSON);
            response.headers_mut().insert(header::CONTENT_TYPE, given);
            response
        }
    };
    name_miner(&mut response, &head, options);
    say_wait(&mut response, &head);
    if let Some(status) = head.extensions().get::<RateLimitStatus>() {
        rate_limit::say(response.headers_mut(), status);
    }
    Ok(response)
}

/// Whether lines are Ollama's, and not those of somebody unknown.
async fn speaks_ollama(body: &mut Body) -> Result<bool, Error> {
    let first = body.peek().await?;
    Ok(first.dialect().and_then(Form::of) == Some(Form::Ollama))
}

fn streaming(body: HttpBody, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn name_miner(response: &mut Response, head: &Head, options: &Options) {
    let miner = head.served_by().or(options.node_id.as_ref());
    if let Some(Ok(miner)) = miner.map(|miner| HeaderValue::try_from(miner.as_str())) {
        response.headers_mut().insert(MINER, miner);
    }
}

fn say_wait(response: &mut Response, head: &Head) {
    if let Some(wait) = head.extensions().get::<QueueWait>() {
        let waited = u64::try_from(wait.waited().as_millis()).unwrap_or(u64::MAX);
        let headers = response.headers_mut();
        headers.insert(QUEUE_WAIT_MS, waited.into());
        headers.insert(QUEUE_POSITION, wait.position_at_entry().into());
    }
}
