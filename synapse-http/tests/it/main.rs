//! This crate through its public door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod api_keys;
mod api_keys_change;
mod changes;
mod client;
mod dialect;
mod drain;
mod hop;
mod look;
mod modules;
mod ollama;
mod pipelining;
mod proxies;
mod rate_limit;
mod replies;
mod router;
mod routes;
mod scores;
mod scores_client;
mod serve;
mod server;
mod signed;
mod sse;
mod tls;
mod tls_hop;
mod tls_members;
mod tls_signed;
mod tls_signers;
mod tls_vet;
mod upstream;
mod waits;
mod writer;
