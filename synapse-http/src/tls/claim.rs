//! What a node's certificate says, and whether that is so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use synapse_core::{
    Error, NodeId,
    keys::{Scheme, Signature, verify},
};
use x509_parser::{
    asn1_rs::{FromDer as _, Oid, Utf8String},
    parse_x509_certificate,
    time::ASN1Time,
};

use crate::digest::sha256_hex;

/// The extension by which a certificate says whose it is: `2.25.818789980466764373.1`.
pub const EXTENSION: [u64; 4] = [2, 25, 818_789_980_466_764_373, 1];

/// Nodes' certificates have half a kilobyte.
const LONGEST: usize = 8 * 1024;
/// Nothing revokes a certificate, so none may live long.
const LONGEST_VALIDITY: u64 = 31 * 24 * 3600;

/// What a node's certificate says: whose it is, since when, until when, and for which TLS key. [`read`](Self::read)
/// takes it as it comes; [`check`](Self::check) says whether it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClaim {
    pub(super) node: NodeId,
    pub(super) scheme: Scheme,
    pub(super) signature: Signature,
    pub(super) terms: Terms,
    pub(super) tls_key: Vec<u8>,
}

/// From when until when, in seconds since 1970, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

impl NodeClaim {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// `tls_not_a_node` where it is no certificate, or has no extension of ours.
    pub fn read(certificate: &[u8]) -> Result<Self, Error> {
        if certificate.len() > LONGEST {
            return Err(not_a_node("is longer than a node's can be"));
        }
        let Ok((rest, parsed)) = parse_x509_certificate(certificate) else {
            return Err(not_a_node("cannot be read"));
        };
        if !rest.is_empty() {
            return Err(not_a_node("has something behind it"));
        }
        let ours = Oid::from(&EXTENSION).expect("an object identifier of four arcs");
        let extension = parsed
            .get_extension_unique(&ours)
            .map_err(|_| not_a_node("names a node twice"))?
            .ok_or_else(|| not_a_node("does not say whose it is"))?;
        let said = match Utf8String::from_der(extension.value) {
            Ok(([], said)) => said.string(),
            _ => return Err(not_a_node("has an extension that cannot be read")),
        };
        let (node, scheme, signature) = words(&said)?;
        let seconds = |time: ASN1Time| {
            u64::try_from(time.timestamp()).map_err(|_| not_a_node("is valid from before 1970"))
        };
        Ok(Self {
            node,
            scheme,
            signature,
            terms: Terms {
                not_before: seconds(parsed.validity().not_before)?,
                not_after: seconds(parsed.validity().not_after)?,
            },
            tls_key: parsed.public_key().raw.to_vec(),
        })
    }

    /// Whether the certificate is `member`'s and valid at `now`.
    ///
    /// It does not show that whoever sent it holds its key: that is for the handshake.
    ///
    /// # Errors
    /// `tls_wrong_key`, naming the expected and the found address; `tls_expired`, with the certificate's times and `now`;
    /// `tls_not_a_node` where it would be valid for longer than 31 days.
    pub fn check(&self, member: &NodeId, now: SystemTime) -> Result<(), Error> {
        if self.node != *member {
            let found = &self.node;
            return Err(wrong_key(format!(
                "a certificate of {member} is expected, and one of {found} was shown"
            )));
        }
        self.terms.check(member, now)?;
        let message = self.terms.message(&self.tls_key);
        verify(self.scheme, member, message.as_bytes(), &self.signature).map_err(|error| {
            wrong_key(format!(
                "a certificate of {member} is expected, and one was shown that names {member} and that its key did not \
                 sign"
            ))
            .with_source(error)
        })
    }

    /// Whose certificate it says it is.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// From when it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.terms.not_before)
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.terms.not_after)
    }

    /// The key that it is for: a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn tls_key(&self) -> &[u8] {
        &self.tls_key
    }

    /// What its extension says.
    pub(super) fn words(&self) -> String {
        format!("{} {} {}", self.scheme, self.node, self.signature.to_hex())
    }
}

impl Terms {
    /// What a node's key signs.
    pub(super) fn message(self, tls_key: &[u8]) -> String {
        let digest = sha256_hex(tls_key);
        format!("synapse-tls/1\n{digest}\n{}\n{}", self.not_before, self.not_after)
    }

    fn check(self, member: &NodeId, now: SystemTime) -> Result<(), Error> {
        if self.not_after.saturating_sub(self.not_before) > LONGEST_VALIDITY {
            return Err(not_a_node("is valid for longer than 31 days"));
        }
        let ours = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verdict = match ours {
            _ if ours < self.not_before => "not valid yet",
            _ if ours > self.not_after => "no longer valid",
            _ => return Ok(()),
        };
        let (from, until, ours) = (shown(self.not_before), shown(self.not_after), shown(ours));
        Err(Error::unavailable(
            "tls_expired",
            format!(
                "the certificate of {member} is {verdict}: by its clock it is for {from} to {until}, and ours says {ours}"
            ),
        )
        .with_hint("compare both machines' clocks; a node that runs renews its certificate by itself"))
    }
}

pub(super) fn not_a_node(why: &str) -> Error {
    Error::unavailable(
        "tls_not_a_node",
        format!("the certificate shown {why}, so it is no node's"),
    )
    .with_hint("let the member serve with its node's TLS, without a proxy that ends TLS before it")
}

pub(super) fn wrong_key(message: String) -> Error {
    Error::unavailable("tls_wrong_key", message)
        .with_hint("either somebody is in between, or another node serves at the member's address")
}

fn words(said: &str) -> Result<(NodeId, Scheme, Signature), Error> {
    let unreadable = || not_a_node("has an extension that cannot be read");
    let mut words = said.split(' ');
    let (Some(scheme), Some(node), Some(signature), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(unreadable());
    };
    let scheme = scheme.parse::<Scheme>().map_err(|_| unreadable())?;
    let node = NodeId::from(node);
    synapse_core::keys::check_address(scheme, &node).map_err(|_| unreadable())?;
    let signature = Signature::from_hex(signature).map_err(|_| unreadable())?;
    Ok((node, scheme, signature))
}

/// A time as people read it.
fn shown(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok()?.to_rfc2822().ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}
