//! Who a node is: keys, their addresses, and what signs with them.
//!
//! A node's name in a subnet is the address of its key ([`NodeId`]): SS58 for sr25519 and ed25519, `0x…` for
//! secp256k1. Whatever signs is a [`Signer`]: a [`Keypair`] in memory, or a remote or hardware signer of your own.
//! [`verify`] says whether an address signed.
//!
//! Operators keep their keys in a [`Keystore`], each under a [`Passphrase`], and on paper as a [`Mnemonic`].
//!
//! ```
//! use synapse_core::keys::{Keypair, Scheme, Signer, verify};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let alice = Keypair::from_uri(Scheme::Sr25519, "//Alice")?;
//! assert_eq!(alice.address().as_str(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
//! let signature = alice.sign(b"hello").await?;
//! verify(Scheme::Sr25519, alice.address(), b"hello", &signature)?;
//! # Ok::<(), synapse_core::Error>(())
//! # }).unwrap();
//! ```

mod address;
mod bip32;
mod derive;
mod files;
mod hardening;
mod hex;
mod keypair;
mod keystore;
mod mnemonic;
mod passphrase;
mod permissions;
mod scheme;
mod secret;
mod seed;
mod signature;
mod signer;
mod verify;

pub use self::{
    hardening::forbid_core_dumps,
    keypair::Keypair,
    keystore::{KeyInfo, Keys, Keystore},
    mnemonic::{Mnemonic, WordCount},
    passphrase::Passphrase,
    scheme::Scheme,
    secret::SecretText,
    seed::Seed,
    signature::Signature,
    signer::Signer,
    verify::{check_address, verify},
};
#[doc(no_inline)]
pub use crate::NodeId;

/// Fills `bytes` with the system's randomness.
fn fill_random(bytes: &mut [u8]) -> Result<(), crate::Error> {
    getrandom::fill(bytes).map_err(|error| {
        crate::Error::internal("no_randomness", "the system gave no randomness for a key").with_source(error)
    })
}
