//! From an HTTP request to an input, and from an output to an HTTP reply.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use synapse_core::{Caller, ClientIp, Deadline, Error, InferenceModule as _, Input, RequestId, Task, Wire};
use tokio::time::{Duration, Instant};

use super::{intake, ollama, refusal::refusal, reply, routes::Served};
use crate::{
    api_keys::ModelScope,
    dialect::{Form, Ollama, OpenAi},
    headers::{DEADLINE_MS, LONGEST_DEADLINE, REQUEST_ID},
};

/// The headers that go on with a request, besides its id: a trace. Everything else stays at this hop.
const TRAVELLING: [HeaderName; 2] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const LONGEST_TRAVELLING: usize = 512;

/// What a route asks of whoever serves it.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// In OpenAI's format, whose paths each have a task.
    OpenAi(Task),
    /// In Ollama's, whose bodies say it.
    Ollama(&'static str),
}

pub(super) async fn infer(served: Arc<Served>, ask: Ask, request: Request) -> Response {
    match run(&served, ask, request).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn run(served: &Served, ask: Ask, request: Request) -> Result<Response, Error> {
    served.lifecycle.check()?;
    let (parts, body) = request.into_parts();
    let content_type = match ask {
        Ask::OpenAi(_) => json_type(&parts.headers)?,
        Ask::Ollama(_) => json_or_curl(&parts.headers)?,
    };
    let body = intake::read(&parts.headers, body, served.options.max_body_bytes).await?;
    let (form, task, wire) = match ask {
        Ask::OpenAi(task) => {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            (
                Form::OpenAi,
                task,
                Wire::new(OpenAi::DIALECT, path, content_type, body),
            )
        }
        Ask::Ollama(path) => {
            let task = Ollama::task(path, &body)?;
            (
                Form::Ollama,
                task,
                Wire::new(Ollama::DIALECT, path, content_type, body),
            )
        }
    };
    let mut input = Input::from_wire(task, wire.with_headers(travelling(&parts)));
    // What is malformed is refused here, whether or not the module would look; layers find the view made.
    input.view()?;
    if form == Form::Ollama
        && let Some(wire) = Ollama::without_keep_alive(&input)?
    {
        // How long its model stays loaded is not its business.
        input = Input::from_wire(input.task().clone(), wire);
    }
    mean_latest(served, &mut input)?;
    if let Some(scope) = parts.extensions.get::<ModelScope>() {
        scope.check(input.model()?)?;
    }
    let id = parts.extensions.get::<RequestId>().map_or("", RequestId::as_str);
    let asked = reply::Asked::of(form, &input, id)?;
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

/// Whoever names a model that is served only under its tag `latest` means that one, as Ollama's users do in any format. It is
/// so before anybody counts, limits or sells it.
fn mean_latest(served: &Served, input: &mut Input) -> Result<(), Error> {
    let name = input.model()?;
    if !name.contains(':')
        && let Some(tagged) = ollama::latest(&served.module.get_capabilities(), name)
    {
        input.set_model(tagged)?;
    }
    Ok(())
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

/// As [`json_type`], and what curl says unless it is told what it sends, which Ollama's own examples leave it to. Not where
/// a browser asks for a page of another site, which may send such forms without asking first.
fn json_or_curl(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    let is_form = match headers.get(header::CONTENT_TYPE) {
        None => true,
        Some(given) => given == "application/x-www-form-urlencoded",
    };
    if is_form && !headers.contains_key(header::ORIGIN) {
        return Ok(HeaderValue::from_static("application/json"));
    }
    json_type(headers)
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

/// By address, where no layer said who it is.
fn caller(parts: &Parts) -> Option<Caller> {
    if parts.extensions.get::<Caller>().is_some() {
        return None;
    }
    let ClientIp(address) = parts.extensions.get()?;
    Some(Caller::new(match *address {
        IpAddr::V6(network) => format!("ip:{network}/64"),
        address => format!("ip:{address}"),
    }))
}
