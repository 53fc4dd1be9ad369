//! The side that dials: it takes one member's key and no other.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    version::TLS13,
};
use synapse_core::{Error, NodeId, WallClock};

use super::{
    HTTP_1_1,
    claim::{NodeClaim, not_a_node},
};

/// TLS for connections to `member`.
pub(crate) fn expecting(member: NodeId, clock: Arc<dyn WallClock>) -> Result<ClientConfig, Error> {
    let provider = ring::default_provider();
    let verifier = Expecting {
        member,
        clock,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| Error::internal("tls_failed", "TLS 1.3 could not be set up").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // A resumed session shows no certificate, so it would outlive one that expired or a key that was replaced.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

/// Takes the certificate of one member.
#[derive(Debug)]
struct Expecting {
    member: NodeId,
    clock: Arc<dyn WallClock>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Expecting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !intermediates.is_empty() {
            return Err(refused(not_a_node("comes with others")));
        }
        NodeClaim::read(certificate)
            .and_then(|claim| claim.check(&self.member, self.clock.now()))
            .map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    /// With the very bytes of the key that the node vouched for, so that no two parsers can see two keys.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let claim = NodeClaim::read(certificate).map_err(refused)?;
        let key = SubjectPublicKeyInfoDer::from(claim.tls_key());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms).map_err(|error| {
            let member = &self.member;
            refused(
                Error::unavailable(
                    "tls_key_not_held",
                    format!("the certificate of {member} was shown by somebody who does not hold its key"),
                )
                .with_hint("somebody is between this machine and the member")
                .with_source(error),
            )
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn refused(error: Error) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}
