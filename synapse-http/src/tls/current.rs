//! The certificate that a server's handshakes show, which may change while it serves.

use std::{
    fmt::Debug,
    sync::{Arc, RwLock},
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// What handshakes show now; a clone for each who asks.
#[derive(Debug)]
pub(super) struct Current<C>(RwLock<C>);

/// A certificate with its key, and whatever else is known of it.
pub(super) trait Certified: Clone + Debug + Send + Sync + 'static {
    fn certified(self) -> Arc<CertifiedKey>;
}

const UNPOISONED: &str = "nothing panics while it holds the certificate";

impl<C: Certified> Current<C> {
    pub(super) fn new(first: C) -> Self {
        Self(RwLock::new(first))
    }

    pub(super) fn get(&self) -> C {
        self.0.read().expect(UNPOISONED).clone()
    }

    pub(super) fn set(&self, fresh: C) {
        *self.0.write().expect(UNPOISONED) = fresh;
    }
}

impl<C: Certified> ResolvesServerCert for Current<C> {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified())
    }
}

impl Certified for Arc<CertifiedKey> {
    fn certified(self) -> Self {
        self
    }
}
