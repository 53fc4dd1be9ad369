//! A validator's own checks, of one's own set-up, before a registration fee is paid.

mod asking;
mod clock;
mod disk;
mod door;
mod host;
mod report;
mod speed;

use std::{fmt, path::PathBuf, sync::Arc};

use synapse_core::{
    Endpoint, Error, InferenceModule, NodeId, SubnetSummary, SystemClock, WallClock,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::tls::ServerTls;

pub use self::report::{Check, Report, Status};
use self::{door::Dial, host::Host};
use crate::claimed::Claimed;

/// How much is to be free, unless it is said otherwise.
const LEAST_FREE: u64 = 1 << 30;

/// Looks at a miner's set-up as a validator does, and names whatever would be held against it.
///
/// Given [what it serves](Self::serve) it starts the miner's own stack, with the same engine, port and certificate, and
/// asks it at the advertised address, signed by a key that it makes for this and that no directory lists. Given only the
/// address it asks whoever runs there; a running miner answers members alone, so most of it needs a member's key
/// ([`ask_as`](Self::ask_as)).
///
/// # What is looked at
/// | check | what it shows | looked at where |
/// | --- | --- | --- |
/// | `disk` | the disk of the node's directory has room | [`data_dir`](Self::data_dir) is set |
/// | `engine` | the engine starts, is healthy, claims tasks and models | it serves |
/// | `port` | the port can be listened on | it serves |
/// | `certificate` | what the node itself shows is of its own key | it serves TLS |
/// | `reachability` | somebody answers at the advertised address, which validators do dial | always |
/// | `identity` | it is this node | somebody answers |
/// | `replies` | TLS binds replies to the node's key | always |
/// | `signatures` | nobody is answered without a signature, and a good one is taken | somebody answers |
/// | `clock` | the clock is right enough for signed requests | there is [another one](Self::compare_clock_with) |
/// | `capabilities` | validators see what the engine claims | a signed request is taken |
/// | `models` | each model is served | it can be asked |
/// | `context` | each context is as long as claimed, to [half of it](synapse_core::probe::Questions#what-they-cannot-show) | it can be asked |
/// | `streaming` | streamed replies come as they are made | it can be asked |
/// | `errors` | what is wrong is refused | it can be asked |
/// | `speed` | how it compares with the subnet's median | there is [a summary](Self::compare_with) |
/// | `shutdown` | the engine ends when it is told to | it serves, and did not |
///
/// Nothing ends it early. Where the advertised address leads nowhere, the engine is asked directly, so that one run
/// names every fault; what can't be looked at is skipped, and says why.
///
/// # What it cannot show
/// The way from this machine to its own public address may differ from a validator's: a router may not lead back inside.
/// Speed is measured from here, so a validator sees the way on top of it.
///
/// ```no_run
/// use synapse_core::{Endpoint, keys::{Keypair, Signer}, testkit::Echo};
/// use synapse_http::tls::NodeTls;
/// use synapse_miner::Preflight;
///
/// # async fn preflight(hotkey: Keypair) -> Result<(), synapse_core::Error> {
/// let advertised = Endpoint::http("https://miner.example.com:8091")?;
/// let report = Preflight::new(hotkey.address().clone(), advertised)
///     .serve("0.0.0.0:8091", Echo::new())
///     .tls(NodeTls::new(hotkey).await?)
///     .data_dir("./miner")
///     .run()
///     .await;
/// println!("{report}");
/// assert!(report.is_ok());
/// # Ok(())
/// # }
/// # let _ = preflight;
/// ```
#[must_use = "a preflight looks at nothing until it runs"]
pub struct Preflight {
    node: NodeId,
    advertised: Endpoint,
    host: Option<Host>,
    tls: Option<ServerTls>,
    may_serve_plain: bool,
    dial: Dial,
    caller: Option<Arc<dyn Signer>>,
    disk: Option<PathBuf>,
    least_free: u64,
    summary: Option<SubnetSummary>,
    reference: Option<String>,
}

impl Preflight {
    /// Of the set-up of `node`, which is to be reached at `advertised`.
    pub fn new(node: NodeId, advertised: Endpoint) -> Self {
        Self {
            node,
            advertised,
            host: None,
            tls: None,
            may_serve_plain: false,
            dial: Dial::new(Arc::new(SystemClock)),
            caller: None,
            disk: None,
            least_free: LEAST_FREE,
            summary: None,
            reference: None,
        }
    }

    /// Serves `module` on `listen` for as long as it runs, as the node will. Whatever stands before the engine there, such
    /// as a queue, belongs to the module here.
    pub fn serve(mut self, listen: impl Into<String>, module: impl InferenceModule) -> Self {
        self.host = Some(Host::new(listen.into(), Arc::new(Claimed(module))));
        self
    }

    /// Serves with this TLS; without any unless set.
    pub fn tls(mut self, tls: impl Into<ServerTls>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Whether it may serve without TLS where other machines reach it, as the node's own server has it:
    /// [`Server::allow_plain_http`](synapse_http::Server::allow_plain_http). No unless set.
    pub fn serve_plain_http(mut self, allowed: bool) -> Self {
        self.may_serve_plain = allowed;
        self
    }

    /// Asks as a member whom the miner at the advertised address knows, and that is a validator. Only where it serves
    /// nothing itself.
    pub fn ask_as(mut self, member: impl Signer) -> Self {
        self.caller = Some(Arc::new(member));
        self
    }

    /// Whether the subnet's validators dial addresses of loopback. No unless set.
    pub fn allow_loopback(mut self, allowed: bool) -> Self {
        self.dial.loopback = allowed;
        self
    }

    /// Whether they dial private addresses. No unless set.
    pub fn allow_private(mut self, allowed: bool) -> Self {
        self.dial.private = allowed;
        self
    }

    /// Whether they dial without TLS. No unless set: even on loopback, nothing then shows who replied. That the node may
    /// serve so is [another matter](Self::serve_plain_http).
    pub fn allow_plain_http(mut self, allowed: bool) -> Self {
        self.dial.plain_http = allowed;
        self
    }

    /// Looks whether the disk of this directory has room.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.disk = Some(dir.into());
        self
    }

    /// So many bytes are to be free there; 1 GiB unless set.
    pub fn least_free(mut self, bytes: u64) -> Self {
        self.least_free = bytes;
        self
    }

    /// Compares the speed with how the subnet's miners do.
    pub fn compare_with(mut self, summary: SubnetSummary) -> Self {
        self.summary = Some(summary);
        self
    }

    /// Compares the clock with that of the server at `url`, best one of the subnet's validators: any that says the date
    /// with its replies will do. It is dialled as the members' addresses are not: wherever it is.
    pub fn compare_clock_with(mut self, url: impl Into<String>) -> Self {
        self.reference = Some(url.into());
        self
    }

    /// Tells the time by another clock. The machine's unless set.
    pub fn wall_clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.dial.clock = clock;
        self
    }

    /// Looks at all of it. Takes a few seconds, and as long as the engine takes to start and to answer some ten questions.
    /// Dropped, it leaves nothing running.
    pub async fn run(mut self) -> Report {
        let mut report = Report::new(self.node.clone(), self.advertised.to_string());
        if let Some(dir) = self.disk.take() {
            report.add(disk::check(dir, self.least_free).await);
        }
        let host = self.host.take();
        let caller = match (&host, self.caller.take()) {
            (None, Some(member)) => Ok(member),
            _ => Keypair::generate(Scheme::Sr25519).map(|key| Arc::new(key) as Arc<dyn Signer>),
        };
        match (caller, host) {
            (Err(error), _) => report.add(Check::of("signatures", &no_key(error))),
            (Ok(caller), Some(host)) => {
                let tls = self.tls.take();
                Box::pin(host.run(tls, &self, caller, &mut report)).await;
            }
            (Ok(caller), None) => Box::pin(self.visit(caller, None, &mut report)).await,
        }
        report
    }

    /// Goes through the door, and asks.
    async fn visit(&self, caller: Arc<dyn Signer>, own: Option<&host::Own>, report: &mut Report) {
        let entered = door::enter(self, caller, own, report).await;
        clock::check(self, &entered, own.is_some(), report).await;
        let claims = asking::capabilities(&entered, own, report).await;
        asking::questions(self, claims, report).await;
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("node", &self.node)
            .field("advertised", &self.advertised)
            .field("host", &self.host)
            .field("tls", &self.tls)
            .field("dial", &self.dial)
            .finish_non_exhaustive()
    }
}

fn no_key(error: Error) -> Error {
    Error::internal("no_key", "no key could be made to ask with").with_source(error)
}
