//! Signed requests between nodes: who asks is proved by a key, with every request.
//!
//! [`Verifier`] checks what comes in; [`Api::signed`](crate::Api::signed) puts it before every route. Layers then find
//! [`SignedBy`] among the extensions, of the HTTP request and of the [`Input`](synapse_core::Input). What goes out is
//! signed by [`SignedHttp`](crate::SignedHttp), or by [`btauth::sign`] for other clients.
//!
//! ```
//! use std::time::Duration;
//! use http::{Method, Request};
//! use synapse_core::{
//!     BlockNumber, Directory, Member, Role, Watch,
//!     keys::{Keypair, Scheme, Signer},
//! };
//! use synapse_http::signed::{Verifier, btauth};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let validator = Keypair::generate(Scheme::Sr25519)?;
//! let miner = Keypair::generate(Scheme::Sr25519)?;
//! let member = Member::new(validator.address().clone(), Role::Validator);
//! let directory = Watch::constant(Directory::new([member], BlockNumber(1)));
//! let verifier = Verifier::new(miner.address().clone(), directory);
//! verifier.opened().await;
//!
//! let nonce = std::time::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_nanos();
//! let content = btauth::Content { method: &Method::POST, target: "/v1/embeddings", body: b"{}" };
//! let headers = btauth::sign(&validator, content, Some(miner.address()), u64::try_from(nonce).unwrap_or(u64::MAX)).await?;
//!
//! let mut request = Request::post("/v1/embeddings").body(()).unwrap();
//! *request.headers_mut() = headers;
//! let (head, ()) = request.into_parts();
//! assert_eq!(verifier.check(&head, b"{}")?.node(), validator.address());
//! assert_eq!(verifier.check(&head, b"{}").unwrap_err().code(), "replayed_request");
//! # Ok::<(), synapse_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What a refusal says
//! Each is a 401 in the API's usual error shape, with a code of its own, the facts, and the node's clock in the header
//! [`x-synapse-clock`](crate::headers::CLOCK).
//!
//! | code | what is wrong |
//! | --- | --- |
//! | `malformed_auth` | a header is missing, empty, doubled or malformed, or its scheme is not taken here |
//! | `wrong_receiver` | signed for another node, or for none |
//! | `stale_request` | signed too long ago, or in the future, or its body was not whole in time |
//! | `unknown_caller` | the signer is not in the directory, or not in a role that may call |
//! | `insufficient_stake` | the signer staked too little |
//! | `bad_signature` | another's signature, or of another request |
//! | `replayed_request` | a request that was here already, or may have been before this node started |
//!
//! Three more are not 401: `body_too_large` (413); `replay_store_full` (503), since nothing live is ever forgotten to
//! make room; and `unproved_bodies_full` (503), since bodies are held before it is known whose they are.
//!
//! # In which order
//! Shape, receiver, freshness, membership and stake, body, signature, replay. The first four need the headers alone, so that
//! nobody's body is read or hashed who does not even claim to be a member. That membership comes before the signature gives
//! nothing away (the directory is public) and writes nothing; what matters is that the replay store is written last: an
//! attacker cannot burn a victim's nonces.
//!
//! Whoever claims a member's name can have a body read and hashed. What that takes is bounded: of one body
//! [so much](Verifier::max_body_bytes), of all of them [so much](Verifier::max_unproved_bytes), and for no longer than the
//! request is fresh, 12 s at most; a body that is not whole by then is refused as `stale_request`.
//!
//! # What it costs
//! A signature of either scheme takes some 40 µs to verify in a release build: less than handing it to another thread would
//! be worth, so it is verified where the request is. One of btauth has one;
//! one of Epistula four, or up to seven where its secret signatures are spelled unusually.

pub mod btauth;
mod claim;
pub mod epistula;
mod fields;
mod gate;
mod identity;
mod refusal;
mod replay;
mod stamp;
mod unproved;
mod verifier;

pub(crate) use self::{
    gate::{Gate, gate},
    refusal::CODES,
    stamp::Stamp,
};
pub use self::{identity::SignedBy, verifier::Verifier};
