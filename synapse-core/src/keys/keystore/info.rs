//! What a key's file says in plain.

use super::{name::Name, sealed::Header};
use crate::{NodeId, keys::Scheme};

/// Whose key a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    name: String,
    scheme: Scheme,
    address: NodeId,
}

impl KeyInfo {
    pub(super) fn new(name: &Name, header: &Header) -> Self {
        Self {
            name: name.to_string(),
            scheme: header.scheme,
            address: header.address.clone(),
        }
    }

    /// How the keystore calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &NodeId {
        &self.address
    }
}
