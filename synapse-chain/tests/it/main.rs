//! A local chain through its public door.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod consents;
mod epochs;
#[cfg(feature = "failpoints")]
mod faults;
mod members;
mod mempool;
mod model;
mod payouts;
mod places;
mod random;
#[cfg(feature = "remote")]
mod remote;
mod replay;
mod store;
mod transactions;
mod weights;

use std::sync::Arc;

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Error, NodeId, Stake, SubnetId, SubnetParams,
    keys::{Keypair, Scheme, Signer as _},
};

/// A chain with subnet 7 of epochs of 10 blocks, the last 3 of which take weights, and 3 places.
async fn small() -> (LocalChain, LocalSubnet) {
    let chain = LocalChain::in_memory();
    let mut params = SubnetParams::default();
    (params.epoch_blocks, params.weighing_blocks, params.max_members) = (10, 3, 3);
    (params.min_stake, params.min_validator_stake) = (Stake(10), Stake(50));
    chain.create_subnet(SubnetId(7), params).unwrap();
    for account in ["v", "m1", "m2", "m3"] {
        chain.fund(&NodeId::from(account), Stake(100)).unwrap();
    }
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    (chain, subnet)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("this is refused").code().to_owned()
}

/// An account that signs nothing.
fn somebody() -> NodeId {
    key(99).address().clone()
}

/// A key that is the same each time.
fn key(number: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_seed(Scheme::Ed25519, &[number; 32]).unwrap())
}
