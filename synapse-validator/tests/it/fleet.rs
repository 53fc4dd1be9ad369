//! A directory and the miners behind it. They only inject faults: what they answer is scripted, nothing is computed.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Capacity, Chunk, Connect, Delta, Directory, Endpoint, Error, FinishReason, Health,
    InferenceModule, Input, Member, Message, MetricsData, ModelInfo, ModuleCapabilities, NodeId, Output,
    Role, Task, Watch, WatchSender, async_trait,
};
use synapse_validator::pool::{Balance, Candidates, Meter, MinerPool, Observation};

type Answer = Pin<Box<dyn Future<Output = Result<Output, Error>> + Send>>;
type Script = Arc<dyn Fn(Input) -> Answer + Send + Sync>;

/// A miner that does as it is told. A clone is the same miner.
#[derive(Clone)]
pub(crate) struct Miner(Arc<State>);

struct State {
    script: Mutex<Script>,
    capabilities: Mutex<ModuleCapabilities>,
    down: Mutex<Option<Error>>,
    capacity: Mutex<Option<Capacity>>,
    hangs: AtomicBool,
    misses: AtomicUsize,
    initialized: AtomicUsize,
    asked: AtomicUsize,
    shut_down: AtomicUsize,
    asked_too_late: AtomicUsize,
}

impl Miner {
    pub(crate) fn new<F, Fut>(script: F) -> Self
    where
        F: Fn(Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        Self(Arc::new(State {
            script: Mutex::new(boxed(script)),
            capabilities: Mutex::new(chat_with("m")),
            down: Mutex::default(),
            capacity: Mutex::default(),
            hangs: AtomicBool::new(false),
            misses: AtomicUsize::new(0),
            initialized: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            shut_down: AtomicUsize::new(0),
            asked_too_late: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn good() -> Self {
        Self::new(|_| async { Ok(reply()) })
    }

    pub(crate) fn failing(error: Error) -> Self {
        Self::new(move |_| std::future::ready(Err(error.clone())))
    }

    pub(crate) fn down() -> Self {
        let miner = Self::good();
        miner.set_up(false);
        miner
    }

    /// Takes a connection, and never says a word.
    pub(crate) fn hanging() -> Self {
        let miner = Self::good();
        miner.0.hangs.store(true, Ordering::SeqCst);
        miner
    }

    pub(crate) fn serving(self, capabilities: ModuleCapabilities) -> Self {
        *self.0.capabilities.lock().unwrap() = capabilities;
        self
    }

    /// Says that it has room for so much.
    pub(crate) fn claiming(self, capacity: Option<Capacity>) -> Self {
        *self.0.capacity.lock().unwrap() = capacity;
        self
    }

    pub(crate) fn set_script<F, Fut>(&self, script: F)
    where
        F: Fn(Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        *self.0.script.lock().unwrap() = boxed(script);
    }

    pub(crate) fn set_up(&self, up: bool) {
        let refused = Error::unavailable("refused", "the connection was refused");
        *self.0.down.lock().unwrap() = (!up).then_some(refused);
    }

    /// Whoever looks at it, or initialises it, is told so.
    pub(crate) fn fail_looks(&self, error: Error) {
        *self.0.down.lock().unwrap() = Some(error);
    }

    /// Does not answer the next `looks` health checks.
    pub(crate) fn miss(&self, looks: usize) {
        self.0.misses.store(looks, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn initialized(&self) -> usize {
        self.0.initialized.load(Ordering::SeqCst)
    }

    pub(crate) fn shut_down(&self) -> usize {
        self.0.shut_down.load(Ordering::SeqCst)
    }

    /// How often it was asked when it was shut down already.
    pub(crate) fn asked_too_late(&self) -> usize {
        self.0.asked_too_late.load(Ordering::SeqCst)
    }

    /// How many hold it, the test included.
    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

fn boxed<F, Fut>(script: F) -> Script
where
    F: Fn(Input) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Output, Error>> + Send + 'static,
{
    Arc::new(move |input| Box::pin(script(input)))
}

#[async_trait]
impl InferenceModule for Miner {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.initialized.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.down.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let misses = &self.0.misses;
        if misses
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            std::future::pending::<()>().await;
        }
        let down = self.0.down.lock().unwrap().clone();
        if let Some(error) = down {
            return Err(error);
        }
        let capacity = *self.0.capacity.lock().unwrap();
        Ok(capacity.map_or_else(Health::ready, |capacity| Health::ready().with_capacity(capacity)))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.capabilities.lock().unwrap().clone()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        self.0
            .asked_too_late
            .fetch_add(self.shut_down().min(1), Ordering::SeqCst);
        let script = self.0.script.lock().unwrap().clone();
        let mut output = script(input).await?;
        // What every remote module does: the head is there when the first content is.
        output.body.peek().await?;
        Ok(output)
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.0.shut_down.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

pub(crate) fn chat_with(model: &str) -> ModuleCapabilities {
    ModuleCapabilities::new("fake")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new(model))
}

pub(crate) fn reply() -> Output {
    Output::new(Body::from_deltas([
        Delta::text("hi"),
        Delta::finish(FinishReason::Stop),
    ]))
}

/// A first delta, and then what `rest` holds.
pub(crate) fn reply_then(rest: Vec<Result<Chunk, Error>>) -> Output {
    let first = Ok(Chunk::delta(Delta::text("hi")));
    Output::new(Body::new(stream::iter([first].into_iter().chain(rest))))
}

/// A first delta, and then silence.
pub(crate) fn endless_reply() -> Output {
    let first = stream::iter([Ok(Chunk::delta(Delta::text("hi")))]);
    Output::new(Body::new(first.chain(stream::pending())))
}

pub(crate) fn ask(model: &str) -> Input {
    Input::chat(model, [Message::user("hello")])
}

/// Reads a reply to its end.
pub(crate) async fn read(output: Output) -> Result<usize, Error> {
    let mut body = output.body;
    let mut chunks = 0;
    while let Some(chunk) = body.next().await {
        chunk?;
        chunks += 1;
    }
    Ok(chunks)
}

/// Miners by address, and the directory that lists some of them.
pub(crate) struct Fleet {
    miners: Arc<Mutex<BTreeMap<String, Miner>>>,
    listed: Mutex<BTreeMap<NodeId, Member>>,
    directory: WatchSender<Directory>,
}

impl Fleet {
    /// These miners, named and listed.
    pub(crate) fn of<const N: usize>(miners: [(&str, &Miner); N]) -> Self {
        let fleet = Self {
            miners: Arc::default(),
            listed: Mutex::default(),
            directory: Watch::channel(Directory::default()).0,
        };
        for (name, miner) in miners {
            fleet.join(name, miner);
        }
        fleet
    }

    pub(crate) fn join(&self, name: &str, miner: &Miner) {
        self.join_at(name, name, miner);
    }

    /// Lists `miner` under `name`, reachable at the host `host`.
    pub(crate) fn join_at(&self, name: &str, host: &str, miner: &Miner) {
        let url = format!("http://{host}");
        self.miners.lock().unwrap().insert(url.clone(), miner.clone());
        let member = Member::new(name, Role::Miner).with_endpoint(Endpoint::http(&url).unwrap());
        self.listed.lock().unwrap().insert(name.into(), member);
        self.publish();
    }

    pub(crate) fn leave(&self, name: &str) {
        let gone = self.listed.lock().unwrap().remove(&NodeId::from(name)).unwrap();
        let url = gone.endpoint.unwrap().to_string();
        self.miners.lock().unwrap().remove(&url);
        self.publish();
    }

    fn publish(&self) {
        let members: Vec<_> = self.listed.lock().unwrap().values().cloned().collect();
        self.directory.set(Directory::new(members, BlockNumber(1)));
    }

    pub(crate) fn pool(&self) -> MinerPool {
        MinerPool::watch(self.directory.follow(), Dial(self.miners.clone()))
    }

    /// A pool that asks members in the order of their names, so that a test knows who is first.
    pub(crate) async fn ordered(&self) -> MinerPool {
        let pool = self.pool().balance(InOrder);
        pool.initialize().await.unwrap();
        pool
    }
}

struct Dial(Arc<Mutex<BTreeMap<String, Miner>>>);

impl Connect for Dial {
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        let url = member.endpoint.as_ref().map(ToString::to_string);
        let miner = self.0.lock().unwrap().get(&url.unwrap_or_default()).cloned();
        miner
            .map(|miner| Arc::new(miner) as Arc<dyn InferenceModule>)
            .ok_or_else(|| Error::invalid("nobody", "nobody lives there"))
    }
}

/// The first open member: a balancer of one's own.
#[derive(Debug)]
struct InOrder;

impl Balance for InOrder {
    fn meter(&self) -> Box<dyn Meter> {
        Box::new(NoMeter)
    }

    fn pick(&self, candidates: &Candidates<'_>) -> Option<usize> {
        (0..candidates.len()).find(|index| candidates.is_open(*index))
    }
}

#[derive(Debug)]
struct NoMeter;

impl Meter for NoMeter {
    fn load(&self, _: u32) -> f64 {
        0.0
    }

    fn observe(&self, _: Observation) {}
}
