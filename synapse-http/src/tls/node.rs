//! What a node serves with: a certificate that renews itself.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{ServerConfig, crypto::ring, server::NoServerSessionStorage, version::TLS13};
use synapse_core::{Error, SystemClock, WallClock, keys::Signer};
use tokio::{sync::Mutex, time::sleep};

use super::{HTTP_1_1, NodeCertificate, certificate::within_bounds, current::Current};

const VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);

/// A node's TLS: what [`Server::tls`](crate::Server::tls) takes. A clone shares the certificate.
///
/// A [`Server`](crate::Server) that serves with it renews the certificate once half of its time is over, with a new TLS
/// key; connections that exist go on. [`rotate`](Self::rotate) does so at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use synapse_core::{keys::{Keypair, Scheme}, testkit::Echo};
/// use synapse_http::{Server, tls::NodeTls};
///
/// let hotkey = Keypair::generate(Scheme::Sr25519)?;
/// let tls = NodeTls::new(hotkey).await?;
/// let server = Server::bind("127.0.0.1:0").await?.tls(tls.clone());
/// println!("listening on https://{}", server.local_addr());
/// tls.rotate().await?;
/// # server.shutdown(async {}).serve(synapse_http::router(Echo::new())).await
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct NodeTls(Arc<Shared>);

struct Shared {
    signer: Arc<dyn Signer>,
    clock: Arc<dyn WallClock>,
    validity: Duration,
    current: Arc<Current<NodeCertificate>>,
    config: Arc<ServerConfig>,
    /// Held while a certificate is made, so that two who find it due make one.
    renewing: Mutex<()>,
}

impl NodeTls {
    /// TLS of the node that `signer` signs for, with a certificate for 7 days.
    ///
    /// # Errors
    /// As [`NodeCertificate::issue`].
    pub async fn new(signer: impl Signer) -> Result<Self, Error> {
        Self::builder(signer).build().await
    }

    /// The same, with options.
    pub fn builder(signer: impl Signer) -> NodeTlsBuilder {
        NodeTlsBuilder {
            signer: Arc::new(signer),
            clock: Arc::new(SystemClock),
            validity: VALIDITY,
        }
    }

    /// Makes a new TLS key and certificate. New connections get it; those that exist go on, on the old key: whoever keeps
    /// one in a pool, as nodes of ours do for 20 s of idling, sends further requests over it.
    ///
    /// # Errors
    /// As [`NodeCertificate::issue`]; the certificate stays as it was.
    pub async fn rotate(&self) -> Result<(), Error> {
        let _one_at_a_time = self.0.renewing.lock().await;
        self.issue().await
    }

    /// The certificate that it shows now.
    #[must_use]
    pub fn certificate(&self) -> NodeCertificate {
        self.0.current.get()
    }

    /// Renews the certificate whenever half of its time is over. Never ends.
    pub(super) async fn keep_fresh(&self) {
        // The wall clock says when it is due, and may be set; so it is asked often rather than trusted for days.
        let pause = (self.0.validity / 20).clamp(Duration::from_millis(100), Duration::from_secs(600));
        loop {
            sleep(pause).await;
            let _one_at_a_time = self.0.renewing.lock().await;
            if !self.is_due() {
                continue;
            }
            match self.issue().await {
                Ok(()) => tracing::info!(certificate = ?self.certificate(), "the node's TLS was renewed"),
                Err(error) => tracing::warn!(%error, "the node's certificate could not be renewed"),
            }
        }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.config.clone()
    }

    /// Whether less than half of its time is left, or the clock was set back to before it.
    fn is_due(&self) -> bool {
        let now = self.0.clock.now();
        let claim = self.certificate().claim().clone();
        let left = claim.not_after().duration_since(now).unwrap_or_default();
        left < self.0.validity / 2 || now < claim.not_before()
    }

    async fn issue(&self) -> Result<(), Error> {
        let Shared {
            signer,
            validity,
            clock,
            ..
        } = &*self.0;
        let fresh = NodeCertificate::issue(signer, *validity, &**clock).await?;
        self.0.current.set(fresh);
        Ok(())
    }
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTls")
            .field("certificate", &self.certificate())
            .field("validity", &self.0.validity)
            .finish_non_exhaustive()
    }
}

/// A [`NodeTls`] in the making; made by [`NodeTls::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct NodeTlsBuilder {
    signer: Arc<dyn Signer>,
    clock: Arc<dyn WallClock>,
    validity: Duration,
}

impl NodeTlsBuilder {
    /// How long a certificate is valid; 7 days unless set; 1 s to 30 days.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.validity = within_bounds(validity);
        self
    }

    /// The clock that certificates are dated by. The machine's unless set.
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Issues the first certificate.
    ///
    /// # Errors
    /// As [`NodeCertificate::issue`].
    pub async fn build(self) -> Result<NodeTls, Error> {
        let first = NodeCertificate::issue(&self.signer, self.validity, &*self.clock).await?;
        let current = Arc::new(Current::new(first));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| Error::internal("tls_failed", "TLS 1.3 could not be set up").with_source(error))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        // Nodes resume no sessions: a resumed one would outlive its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(NodeTls(Arc::new(Shared {
            signer: self.signer,
            clock: self.clock,
            validity: self.validity,
            current,
            config: Arc::new(config),
            renewing: Mutex::new(()),
        })))
    }
}
