//! The devchain as a process: what it promises holds when it is killed, frozen, or started late.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod kills;
mod load;
mod process;
mod starts;
mod status;

use std::sync::Arc;

use synapse_core::keys::{Keypair, Scheme, Signer};

/// A development key.
fn key(uri: &str) -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Sr25519, uri).unwrap())
}

/// Funds for each of these keys, as flags.
fn funds(keys: &[&Keypair]) -> Vec<String> {
    let grants = keys.iter().map(|key| format!("--fund={}=1000000", key.address()));
    grants.collect()
}
