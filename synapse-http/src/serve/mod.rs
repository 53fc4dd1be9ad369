//! A server that bounds what a peer may cost: its time, its bytes, its connections.
//!
//! `axum::serve` installs no timer, so a peer that sends a byte a minute keeps its connection for ever. [`Server`] runs
//! hyper itself, with a bound on every wait, and owns the order in which a module lives: it listens, lets the module
//! [initialise](synapse_core::InferenceModule::initialize) (until then `/health/ready` and requests answer 503), serves,
//! stops accepting, lets every reply end, and shuts the module down.
//!
//! It speaks HTTP/1.1, plain or over [TLS](Server::tls), and no HTTP/2: that ends at the proxy in front.
//!
//! # Which address is which?
//! A server *binds* an address of its machine: `0.0.0.0:8091`, `[::]:8091`, `127.0.0.1:0`. What a member *advertises*
//! in its subnet's directory is where others reach it, and may be another one: a name, a forwarded port, the address
//! outside of a NAT. Nothing here derives one from the other, and neither is in a node's certificate, which names the
//! node's key alone. So it holds at any address, and moving needs no new one.

mod accept;
mod activity;
mod bind;
mod body;
mod connection;
mod exposure;
mod head;
mod limits;
mod message;
mod server;
mod socket;
mod stop;
mod wire;

use std::fmt;

use synapse_core::Error;

pub(crate) use self::accept::household;
pub use self::{connection::PeerAddr, server::Server};
use crate::Api;

/// Serves `api` on `address` until SIGTERM or SIGINT, with the limits of [`Server`].
///
/// ```no_run
/// # async fn run() -> Result<(), synapse_core::Error> {
/// use synapse_core::testkit::Echo;
///
/// synapse_http::serve("127.0.0.1:8080", synapse_http::router(Echo::new())).await
/// # }
/// ```
///
/// # Errors
/// As [`Server::bind`] and [`Server::serve`].
pub async fn serve(address: impl fmt::Display, api: impl Into<Api>) -> Result<(), Error> {
    Server::bind(address).await?.serve(api).await
}
