//! The routes.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{RawQuery, State},
    middleware,
    response::Response,
    routing::get,
};
use http::{HeaderValue, header};
use serde::Serialize;
use synapse_core::{EpochId, Error};

use super::{SCORE, SUMMARY, Scores, attested};
use crate::{
    headers::SIGNATURE,
    router::{Lifecycle, refusal, wrong_method},
    signed::{self, Gate, SignedBy},
};

impl Scores {
    pub(crate) fn into_routes(self, lifecycle: Lifecycle) -> Router {
        let verifier = self.verifier.clone();
        let gate = Gate { verifier, lifecycle };
        let ours = Router::new()
            .route(SCORE, get(score))
            .layer(middleware::from_fn_with_state(gate, signed::gate));
        Router::new()
            .route(SUMMARY, get(summary))
            .merge(ours)
            .method_not_allowed_fallback(wrong_method)
            .with_state(Arc::new(self))
    }
}

async fn score(
    State(scores): State<Arc<Scores>>,
    Extension(by): Extension<SignedBy>,
    RawQuery(query): RawQuery,
) -> Response {
    let reply = async {
        let epoch = epoch(query.as_deref().unwrap_or_default())?;
        let body = written(&scores.book.report(by.node(), epoch).await?)?;
        let signature = attested::sign_report(&*scores.signer, by.node(), &body).await?;
        Ok(said(body, signature))
    };
    reply.await.unwrap_or_else(|error: Error| refusal(&error))
}

async fn summary(State(scores): State<Arc<Scores>>) -> Response {
    let reply = async {
        let body = written(&scores.book.summary().await?)?;
        let signature = attested::sign_summary(&*scores.signer, &body).await?;
        Ok(said(body, signature))
    };
    reply.await.unwrap_or_else(|error: Error| refusal(&error))
}

/// The epoch that a query names, once, and nothing else.
fn epoch(query: &str) -> Result<Option<EpochId>, Error> {
    let mut found = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "epoch" {
            let name: String = name.chars().take(32).collect();
            return Err(Error::invalid(
                "unknown_parameter",
                format!("there is no parameter {name:?} here, only epoch"),
            )
            .with_hint("each member is told its own score, and no other's"));
        }
        let plain = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit());
        match value.parse() {
            Ok(epoch) if plain && found.is_none() => found = Some(EpochId(epoch)),
            _ => {
                return Err(
                    Error::invalid("invalid_epoch", "the epoch is no number, or there twice")
                        .with_param("epoch"),
                );
            }
        }
    }
    Ok(found)
}

fn written(value: &impl Serialize) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::internal("unserializable", "a score could not be written").with_source(error)
    })?;
    Ok(body.into())
}

fn said(body: Bytes, signature: HeaderValue) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // One address, another reply to each who asks.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SIGNATURE, signature);
    response
}
