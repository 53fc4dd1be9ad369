//! What a request's headers say of who sent it, before anything is believed.

use std::time::Duration;

use http::{HeaderMap, Method};
use synapse_core::{
    Error, NodeId,
    keys::{Scheme, Signature, verify},
};

use super::{
    Stamp, btauth,
    epistula::{self, Secrets},
    refusal::malformed,
};

/// What a request says of who signed it, for whom and when.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) sender: NodeId,
    pub(super) scheme: Scheme,
    pub(super) receiver: Option<Box<str>>,
    pub(super) signed_at: Stamp,
    pub(super) once: Once,
    pub(super) signature: Signature,
    pub(super) form: Form,
}

/// What a signer uses no second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Once {
    /// btauth's.
    Nonce(u64),
    /// Epistula's.
    Uuid(u128),
}

#[derive(Debug)]
pub(super) enum Form {
    Btauth,
    Epistula {
        uuid: Box<str>,
        timestamp: u64,
        secrets: Secrets,
    },
}

impl Claim {
    /// Reads the headers of btauth, or, where they are taken and btauth's are absent, those of Epistula.
    pub(super) fn read(headers: &HeaderMap, epistula: bool) -> Result<Self, Error> {
        let signed = btauth::ALL.iter().any(|name| headers.contains_key(name));
        let other = headers.contains_key(&epistula::VERSION);
        match (signed, other) {
            (true, _) => btauth::read(headers),
            (false, true) if epistula => epistula::read(headers),
            (false, true) => Err(malformed(
                "it is signed with Epistula, which this node does not take",
            )),
            (false, false) => Err(malformed("it carries no signature")),
        }
    }

    /// For how long after its time it counts.
    pub(super) const fn longest_age(&self) -> Duration {
        match self.form {
            Form::Btauth => btauth::LONGEST_AGE,
            Form::Epistula { .. } => epistula::LONGEST_AGE,
        }
    }

    /// Whether the sender signed this, with the declared scheme and no other.
    pub(super) fn check_signature(&self, method: &Method, target: &str, digest: &str) -> Result<(), Error> {
        let (sender, signature) = (&self.sender, &self.signature);
        match &self.form {
            Form::Btauth => {
                let (nonce, receiver) = (self.signed_at.nanos(), self.receiver.as_deref());
                let receiver = receiver.unwrap_or(btauth::NOBODY);
                let payload = btauth::payload(
                    self.scheme,
                    method,
                    target,
                    digest,
                    nonce,
                    sender.as_str(),
                    receiver,
                );
                verify(self.scheme, sender, payload.as_bytes(), signature)
            }
            Form::Epistula {
                uuid,
                timestamp,
                secrets,
            } => {
                let receiver = self.receiver.as_deref().unwrap_or_default();
                let message = epistula::message(digest, uuid, *timestamp, receiver);
                verify(self.scheme, sender, message.as_bytes(), signature)?;
                secrets.check(sender, receiver, *timestamp)
            }
        }
    }
}
