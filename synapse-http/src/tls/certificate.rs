//! Making a node's certificate.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rcgen::{
    CertificateParams, CustomExtension, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
    date_time_ymd,
};
use rustls::{
    crypto::ring::sign::any_ecdsa_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use synapse_core::{
    Error, ErrorKind, WallClock,
    keys::{Signature, Signer},
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    claim::{EXTENSION, NodeClaim, Terms},
    current::Certified,
};

/// Clocks differ: a certificate is valid this long before it is made.
const BACKDATED: Duration = Duration::from_secs(3600);
/// A signer may be another machine.
const SIGNING: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A fresh TLS key, and the certificate by which a node's key vouches for it. A clone shares both.
#[derive(Clone)]
pub struct NodeCertificate {
    claim: NodeClaim,
    key: Arc<CertifiedKey>,
}

impl NodeCertificate {
    /// Makes a P-256 key and has `signer` vouch for it, from an hour ago until `validity` from now (1 s to 30 days).
    ///
    /// # Errors
    /// What `signer` said, or `signer_timeout` after 30 s; `signer_unfit` where peers would refuse what it signed, such as
    /// with another key than that of its address; `tls_certificate` where the key or the certificate cannot be made.
    pub async fn issue(
        signer: &dyn Signer,
        validity: Duration,
        clock: &dyn WallClock,
    ) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(not_made)?;
        let key = Zeroizing::new(key);
        let now = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let terms = Terms {
            not_before: now.saturating_sub(BACKDATED).as_secs(),
            not_after: (now + within_bounds(validity)).as_secs(),
        };
        let tls_key = key.subject_public_key_info();
        let message = terms.message(&tls_key);
        let claim = NodeClaim {
            node: signer.address().clone(),
            scheme: signer.scheme(),
            signature: sign(signer, &message).await?,
            terms,
            tls_key,
        };
        claim.check(signer.address(), clock.now()).map_err(unfit)?;
        let certificate = params(&claim).self_signed(&*key).map_err(not_made)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialized_der()));
        let private = any_ecdsa_type(&private).map_err(not_made)?;
        let key = CertifiedKey::new(vec![certificate.der().clone()], private);
        Ok(Self {
            claim,
            key: Arc::new(key),
        })
    }

    /// What it says.
    #[must_use]
    pub fn claim(&self) -> &NodeClaim {
        &self.claim
    }

    /// The certificate, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |certificate| certificate)
    }
}

impl Certified for NodeCertificate {
    fn certified(self) -> Arc<CertifiedKey> {
        self.key
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCertificate")
            .field("node", self.claim.node())
            .field("not_before", &self.claim.terms.not_before)
            .field("not_after", &self.claim.terms.not_after)
            .finish_non_exhaustive()
    }
}

async fn sign(signer: &dyn Signer, message: &str) -> Result<Signature, Error> {
    let signed = timeout(SIGNING, signer.sign(message.as_bytes())).await;
    signed.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Timeout,
            "signer_timeout",
            format!("the node's signer did not vouch for a TLS key within {SIGNING:?}"),
        ))
    })
}

/// How long a certificate may be valid.
pub(super) fn within_bounds(validity: Duration) -> Duration {
    validity.clamp(SHORTEST, LONGEST)
}

fn params(claim: &NodeClaim) -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(claim.terms.not_before);
    params.not_after = epoch + Duration::from_secs(claim.terms.not_after);
    params
        .distinguished_name
        .push(DnType::CommonName, claim.node().as_str());
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &EXTENSION,
        utf8_string(&claim.words()),
    )];
    params
}

/// A UTF8String in DER.
fn utf8_string(text: &str) -> Vec<u8> {
    let length =
        u8::try_from(text.len()).expect("a scheme, an address and a signature have fewer than 256 bytes");
    let mut der = vec![0x0c];
    if length > 127 {
        der.push(0x81);
    }
    der.push(length);
    der.extend_from_slice(text.as_bytes());
    der
}

fn unfit(error: Error) -> Error {
    Error::invalid(
        "signer_unfit",
        format!(
            "every peer would refuse the certificate that the node's signer vouched for: {}",
            error.message()
        ),
    )
    .with_hint("let the signer hold the key of the address that it names")
    .with_source(error)
}

fn not_made(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("tls_certificate", "a certificate for the node could not be made").with_source(error)
}
