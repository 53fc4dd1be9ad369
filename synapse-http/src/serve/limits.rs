//! How long a peer may take, and how much it may hold.

use std::time::Duration;

/// How long a peer may take, and how much it may hold; every field has a setter on [`Server`](super::Server).
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) body: Duration,
    pub(super) write: Duration,
    pub(super) drain: Duration,
    pub(super) shutdown: Duration,
    pub(super) connections: usize,
    pub(super) connections_per_peer: usize,
    pub(super) header_bytes: usize,
    pub(super) headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(10),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            shutdown: Duration::from_secs(30),
            connections: 1024,
            connections_per_peer: usize::MAX,
            header_bytes: 32 * 1024,
            headers: DEFAULT_HEADERS,
        }
    }
}

/// hyper keeps this many headers on the stack; any other number costs an allocation a request.
pub(super) const DEFAULT_HEADERS: usize = 100;
