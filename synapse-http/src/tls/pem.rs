//! An ordinary certificate, of files.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use synapse_core::Error;

use super::{HTTP_1_1, current::Current};

/// An ordinary certificate and its key, of PEM files: for a gateway that users reach by a name. A clone shares both.
///
/// ```no_run
/// # async fn run() -> Result<(), synapse_core::Error> {
/// use synapse_http::{Server, tls::PemFiles};
///
/// let tls = PemFiles::read("/etc/synapse/fullchain.pem", "/etc/synapse/privkey.pem")?;
/// let server = Server::bind("[::]:443").await?.tls(tls.clone());
/// // … and once the files were renewed:
/// tls.reload()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PemFiles(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current<Arc<CertifiedKey>>>,
    config: Arc<ServerConfig>,
}

impl PemFiles {
    /// Reads a certificate, with those between it and its root behind it, and its key.
    ///
    /// # Errors
    /// `tls_files` where a file cannot be read or holds something else, or where the key is another's.
    pub fn read(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, Error> {
        let (certificate, key) = (certificate.into(), key.into());
        let current = Arc::new(Current::new(read(&certificate, &key)?));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("tls_failed", "TLS could not be set up").with_source(error))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(Arc::new(Shared {
            certificate,
            key,
            current,
            config: Arc::new(config),
        })))
    }

    /// Reads the files again. New connections get what they hold; those that exist go on.
    ///
    /// # Errors
    /// As [`read`](Self::read); what was there before stays.
    pub fn reload(&self) -> Result<(), Error> {
        let fresh = read(&self.0.certificate, &self.0.key)?;
        self.0.current.set(fresh);
        Ok(())
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.config.clone()
    }
}

impl fmt::Debug for PemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFiles")
            .field("certificate", &self.0.certificate)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let unusable = |path: &Path, why: &str| {
        Error::invalid("tls_files", format!("{} {why}", path.display()))
            .with_hint("name a PEM file with the certificate chain, and one with its private key")
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, "cannot be read").with_source(error))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unusable(key, "cannot be read as a private key").with_source(error))?;
    let pair = CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| {
        let of = format!("does not hold the key of {}", certificate.display());
        unusable(key, &of).with_source(error)
    })?;
    Ok(Arc::new(pair))
}
