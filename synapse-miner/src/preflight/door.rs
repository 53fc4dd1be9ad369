//! The way to the node, as a validator goes it.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use http::StatusCode;
use synapse_core::{Connect as _, Endpoint, Error, InferenceModule, Member, Role, WallClock, keys::Signer};
use synapse_http::{
    OpenAiModule, SignedHttp,
    client::{Builder, Look},
};

use super::{Check, Preflight, Report, Status, host::Own};

/// What anybody may ask a node for who proves who he is.
const PATH: &str = "/synapse/v1/capabilities";

/// Which addresses validators dial, and by which clock they sign.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    pub(super) loopback: bool,
    pub(super) private: bool,
    pub(super) plain_http: bool,
    pub(super) clock: Arc<dyn WallClock>,
}

/// How far it went.
pub(super) struct Entered {
    /// The reply to a stranger, and when it came.
    pub(super) look: Option<(Look, SystemTime)>,
    /// The node as a validator's pool has it; else why there is none.
    pub(super) module: Result<Arc<dyn InferenceModule>, String>,
}

impl Dial {
    pub(super) fn new(clock: Arc<dyn WallClock>) -> Self {
        Self {
            loopback: false,
            private: false,
            plain_http: false,
            clock,
        }
    }

    fn settle(&self, builder: Builder) -> Builder {
        builder
            .allow_loopback(self.loopback)
            .allow_private(self.private)
            .allow_plain_http(self.plain_http)
            .wall_clock(self.clock.clone())
    }
}

/// Goes to the advertised address, first as a stranger and then signed.
pub(super) async fn enter(
    preflight: &Preflight,
    caller: Arc<dyn Signer>,
    own: Option<&Own>,
    report: &mut Report,
) -> Entered {
    let url = preflight.advertised.to_string();
    let own_key = certificate(preflight, own, report).await;
    let stranger = preflight
        .dial
        .settle(OpenAiModule::builder(&url).node_key(preflight.node.clone()));
    let looked = match preflight.advertised {
        Endpoint::Http(_) => stranger.look(PATH).await,
        _ => Err(Error::unsupported(
            "endpoint_unsupported",
            format!("{url} is not reached over HTTP"),
        )),
    };
    let looked_at = preflight.dial.clock.now();
    let (look, found) = match looked {
        Ok(look) => {
            report.add(Check::passed("reachability", format!("{url} answers")));
            (Some(look), Ok(()))
        }
        Err(error) if error.code().starts_with("tls_") => {
            report.add(Check::passed(
                "reachability",
                format!("something at {url} answers"),
            ));
            report.add(not_this_node(&url, &error, own_key));
            (None, Err("this node is not found there"))
        }
        Err(error) => {
            let check = Check::of("reachability", &error);
            let hint =
                "open the port in the firewall, forward it in the router, and advertise the address outside";
            report.add(match error.code() {
                "connect_failed" | "unreachable" | "head_timeout" => check.hint(hint),
                _ => check,
            });
            report.add(Check::skipped(
                "identity",
                "nobody answers at the advertised address",
            ));
            (None, Err("nobody answers at the advertised address"))
        }
    };
    let (module, refusal) = match found {
        Ok(()) => signed(preflight, caller, own, report).await,
        Err(why) => (Err(why.to_owned()), None),
    };
    report.add(replies(preflight, report));
    report.add(signatures(look.as_ref(), refusal.as_ref(), &module));
    Entered {
        look: look.map(|look| (look, looked_at)),
        module,
    }
}

/// Whether what this node itself shows is of its own key; `None` where it shows nothing.
async fn certificate(preflight: &Preflight, own: Option<&Own>, report: &mut Report) -> Option<bool> {
    let (address, true) = own?.at? else { return None };
    let here = OpenAiModule::builder(format!("https://{}", within(address)))
        .node_key(preflight.node.clone())
        .allow_loopback(true)
        .allow_private(true)
        .wall_clock(preflight.dial.clock.clone());
    match here.look(PATH).await {
        Err(error) if error.code().starts_with("tls_") => {
            report.add(Check::of("certificate", &error).hint(
                "serve with a certificate of the hotkey that is registered: is this the right key file?",
            ));
            Some(false)
        }
        // An address of this machine that is public, or a server that went away, is not about the certificate.
        Err(error) => {
            report.add(Check::skipped("certificate", error.message()));
            None
        }
        Ok(_) => {
            report.add(Check::passed("certificate", "it is of the node's own key"));
            Some(true)
        }
    }
}

/// Where this machine reaches what it listens on.
fn within(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn not_this_node(url: &str, error: &Error, own_key: Option<bool>) -> Check {
    let check = Check::of("identity", error);
    match own_key {
        Some(true) => Check::failed(
            "identity",
            format!(
                "the advertised address leads elsewhere: {} ({})",
                error.message(),
                error.code()
            ),
        )
        .hint(format!(
            "this node's own certificate is right, so {url} is not where it is reached"
        )),
        Some(false) => check.hint("the certificate that this node serves with is of another key: see above"),
        None => {
            check.hint("advertise the address of this node, and serve there with a certificate of its key")
        }
    }
}

/// Asks as a validator does.
async fn signed(
    preflight: &Preflight,
    caller: Arc<dyn Signer>,
    own: Option<&Own>,
    report: &mut Report,
) -> (Result<Arc<dyn InferenceModule>, String>, Option<Error>) {
    let url = preflight.advertised.to_string();
    let node = preflight.node.clone();
    let member = Member::new(node.clone(), Role::Miner).with_endpoint(preflight.advertised.clone());
    let connect = SignedHttp::new(caller).with(|builder| preflight.dial.settle(builder));
    let tried = async {
        let module = connect.connect(&member)?;
        module.initialize().await?;
        Ok::<_, Error>(module)
    };
    let error = match tried.await {
        Ok(module) => {
            report.add(Check::passed("identity", format!("{node} answers there")));
            return (Ok(module), None);
        }
        Err(error) => error,
    };
    let identity = match (error.code(), own) {
        ("wrong_receiver", _) => Check::of("identity", &error).hint(format!(
            "another node serves at {url}: advertise the address of this one"
        )),
        ("unknown_caller", Some(_)) => Check::failed(
            "identity",
            format!(
                "{url} leads to another process of this node's key: it does not know the key that asks here"
            ),
        )
        .hint("stop it, or advertise where this one is reached"),
        _ => Check::passed(
            "identity",
            "who answers has the node's key, or says it is the node",
        ),
    };
    report.add(identity);
    (
        Err(format!("a signed request was refused ({})", error.code())),
        Some(error),
    )
}

/// Whether a reply can only be the node's.
fn replies(preflight: &Preflight, report: &Report) -> Check {
    let name = "replies";
    let Endpoint::Http(_) = preflight.advertised else {
        return Check::skipped(name, "the endpoint is not of HTTP");
    };
    let found = report
        .check("identity")
        .is_some_and(|check| check.status == Status::Passed);
    match (preflight.advertised.to_string().starts_with("https:"), found) {
        (true, true) => Check::passed(name, "TLS binds them to the node's key"),
        (true, false) => Check::skipped(name, "this node is not found at the advertised address"),
        (false, _) if preflight.dial.plain_http => Check::warning(
            name,
            "plain HTTP is advertised: nothing binds replies to the node's key, and everybody on the way can change them",
        ),
        (false, _) => Check::failed(
            name,
            "plain HTTP is advertised: nothing binds replies to the node's key, so they may be anybody's",
        )
        .hint("serve TLS with a certificate of the node's key, and advertise https"),
    }
}

fn signatures(
    look: Option<&Look>,
    refusal: Option<&Error>,
    module: &Result<Arc<dyn InferenceModule>, String>,
) -> Check {
    const NAME: &str = "signatures";
    let Some(look) = look else {
        return Check::skipped(NAME, "this node is not found at the advertised address");
    };
    if look.status.is_success() {
        return Check::failed(NAME, "whoever asks is answered, without a signature")
            .hint("demand signatures of every request: anybody could use the engine at the node's cost");
    }
    if look.status != StatusCode::UNAUTHORIZED {
        return Check::warning(
            NAME,
            format!(
                "an unsigned request is answered with {}, and not with 401",
                look.status
            ),
        );
    }
    let Some(error) = refusal else {
        return match module.is_ok() {
            true => Check::passed(NAME, "nobody is answered without one, and a validator's is taken"),
            false => Check::skipped(NAME, "no signed request was sent"),
        };
    };
    match error.code() {
        "unknown_caller" | "insufficient_stake" => Check::warning(
            NAME,
            "nobody is answered without one; whether a good one is taken was not seen: the node knows only members",
        )
        .hint("ask as a validator of the subnet, or let the node be started here"),
        // The clock's own check speaks of it.
        "stale_request" => Check::passed(NAME, "nobody is answered without one; ours is refused for its time"),
        _ => Check::of(NAME, error),
    }
}
