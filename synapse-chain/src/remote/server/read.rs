//! What a chain says of itself.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use synapse_core::{BlockNumber, EpochId, Error, ErrorKind, NodeId};
use tokio::task::JoinError;

use super::{Served, answer, number, subnet_id, written};
use crate::{
    Head, TxHash,
    remote::wire::{Chain, Members, Moment, Subnet},
};

type Here = State<Arc<Served>>;

/// The longest name of an account that is looked up.
const LONGEST_NAME: usize = 128;

pub(super) async fn chain(State(served): Here) -> Response {
    let read = async {
        served.check_running()?;
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
    written(stored(&served, &height, Ok).await)
}

pub(super) async fn head(State(served): Here, Path(height): Path<String>) -> Response {
    let read = async {
        let block = BlockNumber(number(&height)?);
        stored(&served, &height, move |bytes| {
            let Moment { time } = serde_json::from_slice(&bytes).map_err(|error| {
                Error::internal("corrupt_store", format!("block {block} cannot be read")).with_source(error)
            })?;
            Ok(Head::new(block, time, TxHash::of(&bytes)))
        })
        .await
    };
    answer(read.await)
}

/// What `read` makes of a stored block. A few at a time, and apart: a read of the disk must not hold up anybody else.
async fn stored<T: Send + 'static>(
    served: &Served,
    height: &str,
    read: impl FnOnce(Vec<u8>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let height = BlockNumber(number(height)?);
    let unknown = move || {
        Error::new(
            ErrorKind::NotFound,
            "unknown_block",
            format!("no block {height} is stored here"),
        )
    };
    let engine = served.backend().engine().cloned().ok_or_else(unknown)?;
    let place = served.reads.clone().acquire_owned().await;
    let reading = tokio::task::spawn_blocking(move || {
        let _place = place;
        read(engine.block(height)?.ok_or_else(unknown)?)
    });
    reading.await.map_err(panicked)?
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
