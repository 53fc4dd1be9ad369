//! From an HTTP request to an input, and from an output to an HTTP reply.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use synapse_core::{Caller, Deadline, Error, Input, RequestId, Task, Wire};
use tokio::time::{Duration, Instant};

use super::{intake, refusal::refusal, reply, routes::Served};
use crate::{
    PeerAddr,
    dialect::OpenAi,
    headers::{DEADLINE_MS, LONGEST_DEADLINE, REQUEST_ID},
    serve::household,
};

/// The headers that go on with a request, besides its id: a trace. Everything else stays at this hop.
const TRAVELLING: [HeaderName; 2] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const LONGEST_TRAVELLING: usize = 512;

pub(super) async fn infer(served: Arc<Served>, task: Task, request: Request) -> Response {
    match run(&served, task, request).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn run(served: &Served, task: Task, request: Request) -> Result<Response, Error> {
    served.lifecycle.check()?;
    let (parts, body) = request.into_parts();
    let content_type = json_type(&parts.headers)?;
    let body = intake::read(&parts.headers, body, served.options.max_body_bytes).await?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let wire = Wire::new(OpenAi::DIALECT, path, content_type, body).with_headers(travelling(&parts));
    let mut input = Input::from_wire(task, wire);
    // What is malformed is refused here, whether or not the module would look; layers find the view made.
    input.view()?;
    let id = parts.extensions.get::<RequestId>().map_or("", RequestId::as_str);
    let asked = reply::Asked::of(&input, id)?;
    let deadline = deadline(&parts.headers)?;
    let caller = caller(&parts);
    *input.extensions_mut() = parts.extensions;
    if let Some(deadline) = deadline {
        input.extensions_mut().insert(deadline);
    }
    if let Some(caller) = caller {
        input.extensions_mut().insert(caller);
    }
    let output = served.module.run_inference(input).await?;
    reply::respond(output, asked, &served.options).await
}

fn json_type(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    match (content_type, essence) {
        (Some(value), Some(essence)) if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") => {
            Ok(value.clone())
        }
        _ => Err(
            Error::unsupported("unsupported_content_type", "the body is not said to be JSON")
                .with_hint("send the header content-type: application/json"),
        ),
    }
}

fn travelling(parts: &Parts) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in TRAVELLING {
        if let Some(value) = parts.headers.get(&name)
            && value.len() <= LONGEST_TRAVELLING
        {
            headers.insert(name, value.clone());
        }
    }
    let id = parts.extensions.get::<RequestId>();
    if let Some(Ok(id)) = id.map(|id| HeaderValue::try_from(id.as_str())) {
        headers.insert(REQUEST_ID, id);
    }
    headers
}

fn deadline(headers: &HeaderMap) -> Result<Option<Deadline>, Error> {
    let Some(value) = headers.get(DEADLINE_MS) else {
        return Ok(None);
    };
    let wait = value
        .to_str()
        .ok()
        .and_then(|value| value.parse().ok())
        .map(Duration::from_millis)
        .filter(|wait| !wait.is_zero() && *wait <= LONGEST_DEADLINE);
    match wait {
        Some(wait) => Ok(Some(Deadline::at(Instant::now() + wait))),
        None => Err(Error::invalid(
            "invalid_deadline",
            "the header x-synapse-deadline-ms is not a number of milliseconds from 1 to 86400000",
        )
        .with_param("x-synapse-deadline-ms")),
    }
}

/// By address, where no layer said who it is; of IPv6 by its /64, which is what one customer has.
fn caller(parts: &Parts) -> Option<Caller> {
    if parts.extensions.get::<Caller>().is_some() {
        return None;
    }
    let PeerAddr(peer) = parts.extensions.get()?;
    Some(Caller::new(match household(peer.ip()) {
        IpAddr::V6(network) => format!("ip:{network}/64"),
        address => format!("ip:{address}"),
    }))
}
