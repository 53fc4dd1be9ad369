//! Transactions, from a body to a receipt.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use synapse_core::{Error, ErrorKind};
use tokio::time::timeout;

use super::{Served, answer};
use crate::{SignedTransaction, remote::wire::Waiting};

/// The longest body: the largest transaction as JSON within JSON, where every quote takes two bytes.
const LONGEST_BODY: usize = 2 * SignedTransaction::MAX_BODY + 1024;

pub(super) async fn submit(State(served): State<Arc<Served>>, request: Request) -> Response {
    let received = async {
        let body = read(request.into_body(), LONGEST_BODY).await?;
        parse::<SignedTransaction>(&body)
    };
    let transaction = match received.await {
        Ok(transaction) => transaction,
        Err(error) => return answer::<()>(Err(error)),
    };
    let Ok(_place) = served.submissions.try_acquire() else {
        return answer::<()>(Err(Error::new(
            ErrorKind::Overloaded,
            "too_many_submissions",
            "as many transactions wait for their block as may wait here",
        )));
    };
    let hash = transaction.hash();
    match timeout(served.inclusion, served.backend().submit(transaction)).await {
        Ok(receipt) => answer(receipt),
        // Whoever asked goes on without us; the transaction does, too, and keeps its hash.
        Err(_) => {
            let mut response = answer(Ok(Waiting { hash }));
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
    }
}

/// A body of at most so many bytes.
pub(super) async fn read(body: Body, longest: usize) -> Result<Bytes, Error> {
    to_bytes(body, longest).await.map_err(|error| {
        Error::new(
            ErrorKind::TooLarge,
            "body_too_large",
            format!("the body is longer than {longest} bytes, or broke off"),
        )
        .with_source(error)
    })
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(
            "malformed_body",
            format!("the body is not what is taken: {error}"),
        )
    })
}
