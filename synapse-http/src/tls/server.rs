//! What a server may serve with.

use std::{future::pending, sync::Arc};

use rustls::ServerConfig;

use super::{NodeTls, PemFiles};

/// What a [`Server`](crate::Server) serves TLS with: a node's own, or an ordinary certificate of files.
#[derive(Debug, Clone)]
pub struct ServerTls(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Node(NodeTls),
    Files(PemFiles),
}

impl ServerTls {
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        match &self.0 {
            Kind::Node(node) => node.config(),
            Kind::Files(files) => files.config(),
        }
    }

    /// Renews what renews itself. Never ends.
    pub(crate) async fn keep_fresh(self) {
        match self.0 {
            Kind::Node(node) => node.keep_fresh().await,
            Kind::Files(_) => pending().await,
        }
    }
}

impl From<NodeTls> for ServerTls {
    fn from(node: NodeTls) -> Self {
        Self(Kind::Node(node))
    }
}

impl From<PemFiles> for ServerTls {
    fn from(files: PemFiles) -> Self {
        Self(Kind::Files(files))
    }
}
