//! What signs for a node.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::{Scheme, Signature};
use crate::{Error, NodeId};

/// What signs for a node: a [`Keypair`](super::Keypair) in memory, or a remote or hardware signer.
///
/// Signing is asynchronous and may fail, since a signer may be another machine. Its address and scheme are known
/// beforehand and never change.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// Whose signatures these are.
    fn address(&self) -> &NodeId;

    /// How it signs.
    fn scheme(&self) -> Scheme;

    /// Signs `message`, whole and unhashed.
    ///
    /// # Errors
    /// Where the signer cannot be reached, or refuses.
    async fn sign(&self, message: &[u8]) -> Result<Signature, Error>;
}

#[async_trait]
impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn address(&self) -> &NodeId {
        (**self).address()
    }

    fn scheme(&self) -> Scheme {
        (**self).scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        (**self).sign(message).await
    }
}
