//! Our own error, found in what an HTTP client made of it.

use std::{error::Error as StdError, io};

use rustls::{AlertDescription, CertificateError, Error as Tls};
use synapse_core::Error;

/// Why no connection to a member came about, where we refused it ourselves or it refused TLS.
pub(crate) fn find(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        if let Some(tls) = current.downcast_ref::<Tls>() {
            return of_tls(tls);
        }
        // The source of an io::Error is its content's source, never its content.
        if let Some(content) = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find(content)
        {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

fn of_tls(error: &Tls) -> Option<Error> {
    let downgraded = |what: &str| {
        Some(
            Error::unavailable(
                "tls_downgraded",
                format!("TLS 1.3 is expected of a member, and it answered {what}"),
            )
            .with_hint("the member must serve with TLS what it advertises as https; nothing was sent to it")
            .with_source(error.clone()),
        )
    };
    match error {
        Tls::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref::<Error>().cloned(),
        Tls::InvalidMessage(_) => downgraded("without TLS"),
        Tls::PeerIncompatible(_) | Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            downgraded("with another version")
        }
        _ => None,
    }
}
