//! Members of a subnet, reached over plain HTTP.

use std::sync::Arc;

use synapse_core::{Connect, Endpoint, Error, InferenceModule, Member};

use super::{Builder, OpenAiModule};

/// Reaches members of a subnet at the addresses that they give, over HTTP and unsigned.
///
/// What comes back says that it was served by the member, whatever its server says.
///
/// # What it does not check
/// It dials whatever address a member published, which is whatever the member wrote: a loopback address, a metadata
/// service, a machine behind your firewall. A member can so make the machine that runs this send requests into its own
/// network (server-side request forgery), though never with a redirect or a key. Nothing proves, either, that the member
/// is who answers. Vetting of both comes with signed connections; until then let it out through a network that reaches
/// nothing private, or wrap it in a [`Connect`] that refuses such addresses.
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
        let url = match &member.endpoint {
            Some(endpoint @ Endpoint::Http(_)) => endpoint.to_string(),
            Some(other) => {
                return Err(Error::unsupported(
                    "endpoint_unsupported",
                    format!("{} is at {other}, which is not reached over HTTP", member.node),
                ));
            }
            None => {
                return Err(Error::unavailable(
                    "no_endpoint",
                    format!("{} does not say where it serves", member.node),
                ));
            }
        };
        let settings = self.settings.clone();
        let module = settings.at(url).served_by(member.node.clone()).build()?;
        Ok(Arc::new(module))
    }
}
