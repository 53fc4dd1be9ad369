//! Members of a subnet, reached over HTTP: plainly, or with every request signed.

use std::sync::Arc;

use synapse_core::{Connect, Endpoint, Error, InferenceModule, Member, keys::Signer};

use super::{
    Builder, OpenAiModule,
    sign::{Outgoing, Signing},
};

/// Reaches members of a subnet at the addresses that they give, over HTTP and unsigned.
///
/// What comes back says that it was served by the member, whatever its server says. Between nodes use [`SignedHttp`].
///
/// # What it does not check
/// It dials whatever address a member published, which is whatever the member wrote: a loopback address, a metadata
/// service, a machine behind your firewall. A member can so make the machine that runs this send requests into its own
/// network (server-side request forgery), though never with a redirect or a key. Nothing proves, either, that the member
/// is who answers. Let it out through a network that reaches nothing private, or wrap it in a [`Connect`] that refuses
/// such addresses.
///
/// ```
/// use std::time::Duration;
/// use synapse_core::{Connect, Endpoint, Member, Role};
/// use synapse_http::HttpConnect;
///
/// let connect = HttpConnect::new().with(|builder| builder.idle_timeout(Duration::from_secs(10)));
/// let member = Member::new("miner-1", Role::Miner).with_endpoint(Endpoint::http("http://127.0.0.1:8091")?);
/// let module = connect.connect(&member)?;
/// # drop(module);
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HttpConnect {
    settings: Builder,
}

impl HttpConnect {
    /// Reaches members with the usual settings of [`Builder`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: OpenAiModule::builder(""),
        }
    }

    /// The same with other settings.
    #[must_use]
    pub fn with(self, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self {
            settings: change(self.settings),
        }
    }
}

impl Default for HttpConnect {
    fn default() -> Self {
        Self::new()
    }
}

impl Connect for HttpConnect {
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        let module = reach(&self.settings, member)?.build()?;
        Ok(Arc::new(module))
    }
}

/// Reaches members of a subnet over HTTP, and proves with every request who asks: [btauth/1](crate::signed::btauth).
///
/// The member's key is what counts: over `https` its certificate must be [vouched for](crate::tls) by it. Only public
/// addresses are dialled, and plain `http` is spoken on this machine alone, unless [`with`](Self::with) says otherwise:
/// see [`Builder::node_key`].
///
/// Each attempt is signed for the member that it goes to and no other, with a nonce later than the one before; a path in
/// the member's endpoint is signed, too. What a member's [`Verifier`](crate::Verifier) refuses with status 401 becomes an
/// error with its code that names both clocks. It is `unavailable`, and somebody else may answer: whoever asked us is
/// not to blame for our signature.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{
///     Connect, Endpoint, Member, Role,
///     keys::{Keypair, Scheme, Signer},
/// };
/// use synapse_http::SignedHttp;
///
/// let hotkey = Arc::new(Keypair::generate(Scheme::Sr25519)?);
/// let connect = SignedHttp::new(hotkey).with(|builder| builder.allow_loopback(true));
///
/// let miner = Keypair::generate(Scheme::Sr25519)?.address().clone();
/// let member = Member::new(miner, Role::Miner).with_endpoint(Endpoint::http("http://127.0.0.1:8091")?);
/// let module = connect.connect(&member)?;
/// # drop(module);
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SignedHttp {
    settings: Builder,
    signing: Arc<Signing>,
}

impl SignedHttp {
    /// Reaches members with the usual settings of [`Builder`], signing with `signer`.
    #[must_use]
    pub fn new(signer: impl Signer) -> Self {
        Self {
            settings: OpenAiModule::builder(""),
            signing: Arc::new(Signing::new(Arc::new(signer))),
        }
    }

    /// The same with other settings.
    #[must_use]
    pub fn with(self, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self {
            settings: change(self.settings),
            ..self
        }
    }
}

impl Connect for SignedHttp {
    /// # Errors
    /// As [`Connect`] says, and `unsupported_scheme` where the signer's is not one for requests.
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        let settings = reach(&self.settings, member)?;
        let outgoing = Outgoing::new(self.signing.clone(), member.node.clone(), settings.clock())?;
        let module = settings.node_key(member.node.clone()).signed(outgoing).build()?;
        Ok(Arc::new(module))
    }
}

/// `settings` for the endpoint of `member`.
fn reach(settings: &Builder, member: &Member) -> Result<Builder, Error> {
    match &member.endpoint {
        Some(endpoint @ Endpoint::Http(_)) => Ok(settings
            .clone()
            .at(endpoint.to_string())
            .served_by(member.node.clone())),
        Some(other) => Err(Error::unsupported(
            "endpoint_unsupported",
            format!("{} is at {other}, which is not reached over HTTP", member.node),
        )),
        None => Err(Error::unavailable(
            "no_endpoint",
            format!("{} does not say where it serves", member.node),
        )),
    }
}
