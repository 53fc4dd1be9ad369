//! Who a node is: keys, their addresses, and what signs with them.
//!
//! A node's name in a subnet is the address of its key ([`NodeId`]): SS58 for sr25519 and ed25519, `0x…` for
//! secp256k1. Whatever signs is a [`Signer`]: a [`Keypair`] in memory, or a remote or hardware signer of your own.
//! [`verify`] says whether an address signed.
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
mod derive;
mod keypair;
mod scheme;
mod signature;
mod signer;
mod verify;

pub use self::{
    keypair::Keypair,
    scheme::Scheme,
    signature::Signature,
    signer::Signer,
    verify::{check_address, verify},
};
#[doc(no_inline)]
pub use crate::NodeId;
