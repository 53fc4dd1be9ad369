//! One request, and the head of its reply.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Request, Response};
use synapse_core::{
    Body, Deadline, Dialect, Error, ErrorKind, Framing, Head, Input, NodeId, Output, RequestId, Wire,
};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::{
    Shared,
    body::{Limits, Reply},
    transport::collect,
    upstream::Upstream,
};
use crate::{OpenAi, dialect::openai, headers, status};

/// How much of a refusal is read, and for how long.
const REFUSAL: (usize, Duration) = (64 * 1024, Duration::from_secs(5));
/// How long a node's name may be, in bytes.
const LONGEST_NAME: usize = 128;
/// Headers that belong to a connection, not to a request, whoever sets them.
const HOP_BY_HOP: [HeaderName; 11] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    headers::DEADLINE_MS,
];

/// Sends `input` and waits for the first content of its reply.
pub(super) async fn call(shared: &Shared, input: &Input) -> Result<Output, Error> {
    let dialect = dialect_for(shared, input);
    let wire = input.wire_for(dialect)?;
    let deadline = input.extensions().get::<Deadline>().copied();
    let request = request(shared, input, &wire, deadline)?;
    let latest = Instant::now() + shared.settings.head_timeout;
    let until = deadline.map_or(latest, |deadline| deadline.instant().min(latest));
    let late = |_elapsed| {
        if until < latest {
            return deadline_exceeded();
        }
        let (base, limit) = (shared.transport.base(), shared.settings.head_timeout);
        Error::new(
            ErrorKind::Timeout,
            "head_timeout",
            format!("{base} did not begin its reply within {limit:?}"),
        )
    };
    let response = timeout_at(until, shared.transport.send(request, "the endpoint"))
        .await
        .map_err(late)??;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    let mut output = reply(shared, input, dialect, response, deadline)?;
    // A head is cheap to send, and so are comments: it is content that somebody waits for.
    timeout_at(until, output.body.peek()).await.map_err(late)??;
    Ok(output)
}

/// The format that the request came in, where the endpoint takes it; OpenAI's where not.
fn dialect_for(shared: &Shared, input: &Input) -> &'static dyn Dialect {
    let Some(wire) = input.wire() else {
        return OpenAi::DIALECT;
    };
    let dialect = wire.dialect();
    let name = dialect.name();
    let is_said = shared.settings.speaks.iter().any(|other| other.name() == name);
    if is_said || shared.found().is_some_and(|found| found.speaks(name)) {
        dialect
    } else {
        OpenAi::DIALECT
    }
}

pub(super) fn deadline_exceeded() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "deadline_exceeded",
        "the endpoint did not complete its reply before the request's deadline",
    )
}

fn request(
    shared: &Shared,
    input: &Input,
    wire: &Wire,
    deadline: Option<Deadline>,
) -> Result<Request, Error> {
    let mut request = shared.transport.request(Method::POST, wire.path())?;
    let ours = request.headers_mut();
    let has_key = ours.contains_key(header::AUTHORIZATION);
    // What every request has comes first and in one order, whoever made it: nobody shall tell by it who asks.
    ours.insert(header::CONTENT_TYPE, wire.content_type().clone());
    let id = input.extensions().get::<RequestId>();
    let id = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok());
    let has_id = id.is_some();
    if let Some(id) = id {
        ours.insert(headers::REQUEST_ID, id);
    }
    if let Some(deadline) = deadline {
        let left = deadline.instant().saturating_duration_since(Instant::now());
        let left = left.min(headers::LONGEST_DEADLINE);
        match u64::try_from(left.as_millis()) {
            Ok(0) => return Err(deadline_exceeded()),
            left => ours.insert(headers::DEADLINE_MS, left.unwrap_or(u64::MAX).into()),
        };
    }
    for (name, value) in wire.headers() {
        let stays = HOP_BY_HOP.contains(name)
            || *name == header::CONTENT_TYPE
            || (has_key && *name == header::AUTHORIZATION)
            || (has_id && *name == headers::REQUEST_ID);
        if !stays {
            ours.append(name, value.clone());
        }
    }
    *request.body_mut() = Some(wire.body().clone().into());
    Ok(request)
}

/// The error of a reply that is none.
pub(super) async fn refused(response: Response) -> Error {
    let code = response.status();
    let after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(status::read_retry_after);
    let upstream = Upstream::new(code, after);
    // What cannot be read says nothing; the status still does.
    let body: Bytes = match timeout(REFUSAL.1, collect(response, REFUSAL.0)).await {
        Ok(Ok(body)) => body,
        _ => Bytes::new(),
    };
    if let Some(error) = openai::read_error(&body, &upstream) {
        return error;
    }
    match code {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Error::unavailable(
            "wrong_endpoint",
            "the endpoint has no such path, so it does not serve this kind of request",
        )
        .with_hint("check that the address is an OpenAI-compatible server's")
        .with_source(upstream),
        _ => upstream.into_error(status::kind_of_status(code), None, None),
    }
}

fn reply(
    shared: &Shared,
    input: &Input,
    dialect: &'static dyn Dialect,
    response: Response,
    deadline: Option<Deadline>,
) -> Result<Output, Error> {
    let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
    let framing = dialect.framing(content_type.as_ref());
    let known = dialect.name() != OpenAi.name() || OpenAi::path(input.task()).is_some();
    if known && !matches!(framing, Framing::Sse | Framing::Whole | Framing::Lines) {
        let shown = content_type
            .as_ref()
            .map_or("none", |value| value.to_str().unwrap_or("none"));
        return Err(Error::broken(
            "unexpected_content_type",
            format!("the reply's content type is {shown}, and JSON or a stream of events is wanted"),
        ));
    }
    if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Error::broken(
            "encoded_reply",
            "the reply is compressed, which the request did not ask for",
        ));
    }
    let mut head = Head::default();
    if let Some(node) = served_by(shared, response.headers()) {
        head = head.with_served_by(node);
    }
    if let Some(content_type) = content_type {
        head = head.with_content_type(content_type);
    }
    let limits = Limits {
        idle: shared.settings.idle_timeout,
        deadline: deadline.map(Deadline::instant),
        events: shared.settings.limits,
        whole: shared.settings.max_reply,
    };
    let reply = Reply::new(
        response,
        dialect,
        framing,
        limits,
        shared.meter.clone(),
        shared.drains.clone(),
    )?;
    let body = match framing {
        Framing::Unframed => Body::unframed(reply),
        _ => Body::new(reply),
    };
    Ok(Output::new(body).with_head(head))
}

fn served_by(shared: &Shared, headers: &HeaderMap) -> Option<NodeId> {
    shared.settings.served_by.clone().or_else(|| {
        let name = headers.get(headers::MINER)?.to_str().ok()?;
        (!name.is_empty() && name.len() <= LONGEST_NAME).then(|| name.into())
    })
}
