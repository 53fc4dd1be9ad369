//! A server that bounds what a peer may cost: its time, its bytes, its connections.
//!
//! `axum::serve` installs no timer, so a peer that sends a byte a minute keeps its connection for ever. [`Server`] runs
//! hyper itself, with a bound on every wait, and owns the order in which a module lives: it listens, lets the module
//! [initialise](synapse_core::InferenceModule::initialize) (until then `/health/ready` and requests answer 503), serves,
//! stops accepting, lets every reply end, and shuts the module down.
//!
//! It speaks HTTP/1.1, and neither TLS nor HTTP/2: those end at the proxy in front.

mod accept;
mod activity;
mod bind;
mod body;
mod connection;
mod head;
mod limits;
mod message;
mod server;
mod socket;
mod stop;

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
