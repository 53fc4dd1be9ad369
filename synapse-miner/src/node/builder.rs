//! A node, and how it is told what to do.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use synapse_core::{DataDir, Endpoint, Error, InferenceModule, Stake, Subnet, Watch, keys::Signer};
use synapse_http::{Api, Server, Verifier};

use super::{
    Miner, MinerEvent, MinerStatus, Register, ScoreSource, StandardMiner,
    board::Board,
    reach::{self, Reach},
};

const HEARTBEAT: Duration = Duration::from_secs(30);

/// Where a node serves: an address such as `0.0.0.0:8091`, or a [`Server`] with limits of its own.
#[derive(Debug)]
pub struct Listen(pub(super) Door);

#[derive(Debug)]
pub(super) enum Door {
    Address(String),
    Server(Box<Server>),
    /// The program serves by itself.
    Elsewhere,
}

/// Runs a [`Miner`]: checks it, serves it, has it registered and listed, and looks after all that until it is told to end.
///
/// What `subnet` signs with must be the node's own key, which pays for a registration, too.
///
/// ```no_run
/// use synapse_core::{DataDir, Endpoint, Error, Stake, Subnet, keys::Keypair, testkit::Echo};
/// use synapse_miner::{MinerNode, Register};
///
/// # #[allow(dead_code)]
/// async fn mine(subnet: impl Subnet, hotkey: Keypair) -> Result<(), Error> {
///     let (stake, most_cost) = (Stake(100), Stake(250));
///     MinerNode::new(subnet, hotkey)
///         .serve("0.0.0.0:8091", Echo::new())
///         .advertise(Endpoint::http("https://miner.example.com:8091")?)
///         .register(Register::Once { stake, most_cost })
///         .state(DataDir::open("./miner")?)
///         .on_event(|event| eprintln!("{}: {event}", event.code()))
///         .run_until_signalled()
///         .await
/// }
/// ```
#[must_use = "a node does nothing until it runs"]
pub struct MinerNode<M = StandardMiner> {
    pub(super) subnet: Arc<dyn Subnet>,
    pub(super) hotkey: Arc<dyn Signer>,
    pub(super) miner: Option<Arc<M>>,
    pub(super) settings: Settings,
    pub(super) board: Arc<Board>,
}

/// Everything but what answers.
pub(super) struct Settings {
    pub(super) door: Door,
    pub(super) plain_http: bool,
    pub(super) waits_for: Arc<str>,
    pub(super) least_stake: Stake,
    pub(super) verifier: Box<dyn FnOnce(Verifier) -> Verifier + Send>,
    pub(super) api: Box<dyn FnOnce(Api) -> Api + Send>,
    pub(super) metrics: Option<Server>,
    pub(super) endpoint: Option<Watch<Endpoint>>,
    pub(super) register: Option<Register>,
    pub(super) directory: Option<Arc<DataDir>>,
    pub(super) heartbeat: Duration,
    pub(super) asks_itself: bool,
    pub(super) reach: Reach,
    pub(super) scores: Option<Arc<dyn ScoreSource>>,
    pub(super) leaves: bool,
}

impl MinerNode {
    /// A node of `subnet` with this key.
    pub fn new(subnet: impl Subnet, hotkey: impl Signer) -> Self {
        let (subnet, hotkey): (Arc<dyn Subnet>, Arc<dyn Signer>) = (Arc::new(subnet), Arc::new(hotkey));
        Self {
            board: Board::new(hotkey.address().clone(), subnet.id()),
            settings: Settings {
                door: Door::Elsewhere,
                plain_http: false,
                waits_for: format!("subnet {} of its chain", subnet.id()).into(),
                least_stake: Stake(0),
                verifier: Box::new(|verifier| verifier),
                api: Box::new(|api| api),
                metrics: None,
                endpoint: None,
                register: None,
                directory: None,
                heartbeat: HEARTBEAT,
                asks_itself: true,
                reach: reach::by_connecting(),
                scores: None,
                leaves: false,
            },
            miner: None,
            subnet,
            hotkey,
        }
    }
}

impl<M: Miner> MinerNode<M> {
    /// Serves `module` there, to the subnet's validators, who sign what they ask. Over TLS that is bound to the node's key,
    /// unless [told otherwise](Self::plain_http). Of a [`Server`] that is handed in, TLS, the hooks and the shutdown are set
    /// here.
    pub fn serve(self, at: impl Into<Listen>, module: impl InferenceModule) -> MinerNode<StandardMiner> {
        self.serve_miner(at, StandardMiner::new(module))
    }

    /// Serves what `miner` decides, as [`serve`](Self::serve) does.
    pub fn serve_miner<N: Miner>(mut self, at: impl Into<Listen>, miner: N) -> MinerNode<N> {
        self.settings.door = at.into().0;
        self.with_miner(miner)
    }

    /// Looks after a module that the program serves by itself, and that is initialised and served when the node
    /// [runs](Self::run). [`advertise`](Self::advertise) says where.
    pub fn served_elsewhere<N: Miner>(mut self, miner: N) -> MinerNode<N> {
        self.settings.door = Door::Elsewhere;
        self.with_miner(miner)
    }

    fn with_miner<N>(self, miner: N) -> MinerNode<N> {
        MinerNode {
            subnet: self.subnet,
            hotkey: self.hotkey,
            miner: Some(Arc::new(miner)),
            settings: self.settings,
            board: self.board,
        }
    }

    /// Where validators reach it; the address that it listens on unless set.
    pub fn advertise(self, endpoint: Endpoint) -> Self {
        self.advertise_moving(Watch::constant(endpoint))
    }

    /// The same of a node that moves: the directory follows.
    pub fn advertise_moving(mut self, endpoint: Watch<Endpoint>) -> Self {
        self.settings.endpoint = Some(endpoint);
        self
    }

    /// Whether it registers itself; what its [`Miner`] says unless set. It takes a [state](Self::state) to remember what it
    /// paid.
    pub fn register(mut self, register: Register) -> Self {
        self.settings.register = Some(register);
        self
    }

    /// Its own directory, which no other process has; without one, nothing outlives the process.
    pub fn state(mut self, directory: impl Into<Arc<DataDir>>) -> Self {
        self.settings.directory = Some(directory.into());
        self
    }

    /// Calls `told` with what happens, as it happens. It must not block.
    pub fn on_event(self, told: impl FnMut(&MinerEvent) + Send + 'static) -> Self {
        self.board.on_event(told);
        self
    }

    /// Takes requests from validators with at least this stake only.
    pub fn min_stake(mut self, least: Stake) -> Self {
        self.settings.least_stake = least;
        self
    }

    /// Serves without TLS: on loopback only, unless the [`Server`] was told to
    /// [allow it](Server::allow_plain_http) where other machines reach it.
    pub fn plain_http(mut self) -> Self {
        self.settings.plain_http = true;
        self
    }

    /// What it says it waits for at its start; the subnet, unless set: `"the chain at http://127.0.0.1:9933"`.
    pub fn waits_for(mut self, what: impl Into<Arc<str>>) -> Self {
        self.settings.waits_for = what.into();
        self
    }

    /// Changes how requests are verified.
    pub fn verifier(mut self, change: impl FnOnce(Verifier) -> Verifier + Send + 'static) -> Self {
        self.settings.verifier = Box::new(change);
        self
    }

    /// Changes what is served: routes and layers of one's own.
    pub fn api(mut self, change: impl FnOnce(Api) -> Api + Send + 'static) -> Self {
        self.settings.api = Box::new(change);
        self
    }

    /// Serves `/metrics` there, without a signature: where only this machine's operator comes.
    pub fn metrics(mut self, server: Server) -> Self {
        self.settings.metrics = Some(server);
        self
    }

    /// How often it looks after everything; 30 s unless set, and 6 s at least. It looks at its module six times as often.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.settings.heartbeat = every.max(Duration::from_secs(6));
        self
    }

    /// Asks its module nothing before others do.
    pub fn without_own_question(mut self) -> Self {
        self.settings.asks_itself = false;
        self
    }

    /// How it tries, at each heartbeat, whether it can be reached where it is advertised; by connecting to it unless set.
    pub fn reachable_by<F, Fut>(mut self, reach: F) -> Self
    where
        F: Fn(Endpoint) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.settings.reach = Arc::new(move |endpoint| Box::pin(reach(endpoint)));
        self
    }

    /// Asks the subnet's validators what they think of it, after each epoch; nobody unless set.
    pub fn scores(mut self, source: impl ScoreSource) -> Self {
        self.settings.scores = Some(Arc::new(source));
        self
    }

    /// Leaves the subnet once it has drained: the place is free, the stake comes back. Without this it keeps its place, and
    /// the next start finds everything as it was. A registration that is under way is waited for, 30 s at most: where it is
    /// not known by then what became of it, the node ends, says so, and may become a member yet.
    pub fn leave_on_shutdown(mut self) -> Self {
        self.settings.leaves = true;
        self
    }

    /// How it does, to follow from now on: to show it, or to keep it in a file for whoever looks from outside.
    #[must_use]
    pub fn status(&self) -> Watch<MinerStatus> {
        self.board.follow()
    }
}

impl<M> fmt::Debug for MinerNode<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinerNode")
            .field("subnet", &self.subnet.id())
            .field("node", self.hotkey.address())
            .field("door", &self.settings.door)
            .field("register", &self.settings.register)
            .finish_non_exhaustive()
    }
}

impl From<Server> for Listen {
    fn from(server: Server) -> Self {
        Self(Door::Server(Box::new(server)))
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self(Door::Address(address.to_string()))
    }
}

impl From<&str> for Listen {
    fn from(address: &str) -> Self {
        Self(Door::Address(address.to_owned()))
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Self {
        Self(Door::Address(address))
    }
}
