//! A node's keys, ready to sign.

use std::sync::Arc;

use crate::keys::Keypair;

/// A node's keys, ready to sign. A clone is one reference count; the last to be dropped wipes the secret.
#[derive(Debug, Clone)]
pub struct Keys {
    hotkey: Arc<Keypair>,
}

impl Keys {
    pub(super) fn new(hotkey: Keypair) -> Self {
        Self {
            hotkey: Arc::new(hotkey),
        }
    }

    /// What signs for the node: a [`Signer`](crate::keys::Signer).
    #[must_use]
    pub fn hotkey(&self) -> Arc<Keypair> {
        Arc::clone(&self.hotkey)
    }
}
