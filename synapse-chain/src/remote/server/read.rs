//! What a chain says of itself.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use synapse_core::{BlockNumber, EpochId, Error, ErrorKind, NodeId};
use tokio::task::JoinError;

use super::{Served, answer, number, subnet_id, written};
use crate::remote::wire::{Chain, Members, Subnet};

type Here = State<Arc<Served>>;

/// The longest name of an account that is looked up.
const LONGEST_NAME: usize = 128;

pub(super) async fn chain(State(served): Here) -> Response {
    let read = async {
        let backend = served.backend();
        Ok(Chain {
            supply: backend.supply().await?,
            subnets: backend.subnets().await?,
            head: *backend.head().current(),
            chain: backend.chain().clone(),
        })
    };
    answer(read.await)
}

pub(super) async fn subnet(State(served): Here, Path(id): Path<String>) -> Response {
    let read = async {
        let subnet = subnet_id(&id)?;
        let followed = served.backend().follow(subnet).await?;
        Ok(Subnet {
            subnet,
            epoch: *followed.epochs.current(),
            params: (*followed.params.current()).clone(),
            directory: Members::from(&*followed.directory.current()),
        })
    };
    answer(read.await)
}

pub(super) async fn weights(State(served): Here, Path((id, epoch)): Path<(String, String)>) -> Response {
    let read = async {
        let epoch = EpochId(number(&epoch)?);
        served.backend().weights(subnet_id(&id)?, epoch).await
    };
    answer(read.await)
}

pub(super) async fn payouts(State(served): Here, Path((id, epoch)): Path<(String, String)>) -> Response {
    let read = async {
        let epoch = EpochId(number(&epoch)?);
        served.backend().payouts(subnet_id(&id)?, epoch).await
    };
    answer(read.await)
}

pub(super) async fn account(State(served): Here, Path(id): Path<String>) -> Response {
    let read = async {
        check_name(&id)?;
        served.backend().account(&NodeId::from(id)).await
    };
    answer(read.await)
}

pub(super) async fn block(State(served): Here, Path(height): Path<String>) -> Response {
    let read = async {
        let height = BlockNumber(number(&height)?);
        let unknown = || {
            Error::new(
                ErrorKind::NotFound,
                "unknown_block",
                format!("no block {height} is stored here"),
            )
        };
        let engine = served.backend().engine().cloned().ok_or_else(unknown)?;
        // A read of the disk must not hold up anybody else.
        let block = tokio::task::spawn_blocking(move || engine.block(height)).await;
        block.map_err(panicked)??.ok_or_else(unknown)
    };
    written(read.await)
}

pub(super) async fn receipt(State(served): Here, Path(hash): Path<String>) -> Response {
    let read = async {
        let hash = hash.parse()?;
        served.backend().receipt(&hash).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "unknown_transaction",
                format!("no block that is kept has a transaction {hash}"),
            )
            .with_hint("it may still wait for a block: submit the same bytes again")
        })
    };
    answer(read.await)
}

fn panicked(error: JoinError) -> Error {
    Error::internal("read_failed", "a block could not be read").with_source(error)
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(Error::invalid(
        "malformed_address",
        format!("the name of an account has at most {LONGEST_NAME} bytes"),
    ))
}
