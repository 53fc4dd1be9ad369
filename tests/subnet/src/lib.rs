//! What the tests of several roles share: servers on loopback, a gateway over a chain's directory, a raw upstream that
//! answers as it is told, and a client that sees bytes.

mod client;
mod server;
mod upstream;

pub use self::{
    client::{Reply, post, send},
    server::{Gateway, Serving, serve, serve_with},
    upstream::Upstream,
};
