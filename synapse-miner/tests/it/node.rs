//! The miner's loop. The chain here only holds a directory, takes its time, and injects faults; the engine does as it is
//! told.

mod leaving;
mod listing;
mod panics;
mod registering;
mod scores;
mod served;
mod stored;

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{
    BlockNumber, Body, Capacity, DataDir, Delta, Directory, Endpoint, Epoch, EpochId, Error, ErrorKind,
    FinishReason, Health, InferenceModule, Input, Member, MetricsData, ModelInfo, ModuleCapabilities, NodeId,
    OperationId, Output, Phase, Registration, Role, Serving, Stake, Subnet, SubnetId, SubnetParams, Task,
    Watch, WatchSender, Weights, async_trait,
    keys::{Keypair, Scheme, Signer},
};
use synapse_miner::{Miner, MinerNode, MinerStatus, Register, StandardMiner};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

const FEE: u64 = 10;
const STAKE: Stake = Stake(100);
const HERE: &str = "https://miner.example.com:8091";

/// What a chain does with the next registration.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It refuses.
    Refused,
    /// Its block holds it, and it has no place for the node.
    Full,
    /// It is away, and nothing was sent.
    Away,
    /// It takes it, and its answer is lost.
    AnswerLost,
    /// It never gets it, and nobody knows that.
    Lost,
}

#[derive(Clone)]
struct Chain(Arc<World>);

struct World {
    directory: WatchSender<Directory>,
    params: WatchSender<SubnetParams>,
    epochs: WatchSender<Epoch>,
    /// How long until a block takes something, and as long again until its answer is there.
    block: Duration,
    faults: Mutex<VecDeque<Fault>>,
    /// What it was asked and took: `paid 110`, `told <digest>`.
    log: Mutex<Vec<String>>,
}

fn epoch(id: u64) -> Epoch {
    let starts = id * 100;
    Epoch::new(
        EpochId(id),
        Phase::Serving,
        BlockNumber(starts),
        BlockNumber(starts + 100),
    )
}

impl Chain {
    fn new() -> Self {
        Self::with_blocks(Duration::from_millis(500))
    }

    fn with_blocks(block: Duration) -> Self {
        Self(Arc::new(World {
            directory: Watch::channel(Directory::new([], BlockNumber(1))).0,
            params: Watch::channel(SubnetParams::default().with_registration_fee(Stake(FEE))).0,
            epochs: Watch::channel(epoch(0)).0,
            block,
            faults: Mutex::default(),
            log: Mutex::default(),
        }))
    }

    fn fails(&self, fault: Fault) {
        self.0.faults.lock().unwrap().push_back(fault);
    }

    fn enters(&self, id: u64) {
        self.0.epochs.set(epoch(id));
    }

    fn node() -> NodeId {
        key().address().clone()
    }

    fn member(&self) -> Option<Member> {
        self.0.directory.current().get(&Self::node()).cloned()
    }

    /// Puts members into the directory, besides those of other names.
    fn set(&self, member: Member) {
        let directory = self.0.directory.current();
        let others = directory
            .members()
            .iter()
            .filter(|other| other.node != member.node);
        let mut members: Vec<Member> = others.cloned().collect();
        members.push(member);
        self.0
            .directory
            .set(Directory::new(members, BlockNumber(directory.block().0 + 1)));
    }

    /// Takes the node's place from it.
    fn deregister(&self) {
        let directory = self.0.directory.current();
        let others = directory
            .members()
            .iter()
            .filter(|other| other.node != Self::node());
        let members: Vec<Member> = others.cloned().collect();
        self.0
            .directory
            .set(Directory::new(members, BlockNumber(directory.block().0 + 1)));
    }

    fn note(&self, what: impl Into<String>) {
        self.0.log.lock().unwrap().push(what.into());
    }

    /// How often it was asked or took this.
    fn count(&self, what: &str) -> usize {
        let log = self.0.log.lock().unwrap();
        log.iter().filter(|noted| noted.starts_with(what)).count()
    }

    fn take(&self, registration: Registration) -> Member {
        let Registration {
            node, role, stake, ..
        } = registration;
        if let Some(member) = self.0.directory.current().get(&node) {
            self.note("again");
            let member = member.clone().with_stake(stake);
            self.set(member.clone());
            return member;
        }
        self.note(format!("paid {}", stake.0 + FEE));
        let block = self.0.directory.current().block();
        let block = block.max(self.0.epochs.current().starts);
        let member = Member::new(node, role).with_stake(stake).with_active_since(block);
        self.set(member.clone());
        member
    }
}

#[async_trait]
impl Subnet for Chain {
    fn id(&self) -> SubnetId {
        SubnetId(7)
    }

    fn directory(&self) -> Watch<Directory> {
        self.0.directory.follow()
    }

    fn params(&self) -> Watch<SubnetParams> {
        self.0.params.follow()
    }

    fn epochs(&self) -> Watch<Epoch> {
        self.0.epochs.follow()
    }

    async fn register(&self, registration: Registration) -> Result<Member, Error> {
        self.note("asked");
        let fault = self.0.faults.lock().unwrap().pop_front();
        match fault {
            Some(Fault::Refused) => return Err(Error::invalid("insufficient_balance", "a scripted refusal")),
            Some(Fault::Full) => {
                sleep(self.0.block).await;
                return Err(Error::new(
                    ErrorKind::Overloaded,
                    "subnet_full",
                    "a scripted crowd",
                ));
            }
            Some(Fault::Away) => return Err(Error::unavailable("chain_unreachable", "a scripted failure")),
            Some(Fault::Lost) => return Err(Error::broken("outcome_unknown", "a scripted loss")),
            _ => {}
        }
        // What was sent is on its way, whatever becomes of whoever sent it.
        let (world, block) = (self.clone(), self.0.block);
        let taken = tokio::spawn(async move {
            sleep(block).await;
            world.take(registration)
        });
        let member = taken.await.unwrap();
        sleep(block).await;
        match fault {
            Some(_) => Err(Error::broken("outcome_unknown", "a scripted loss")),
            None => Ok(member),
        }
    }

    async fn serve(&self, node: &NodeId, serving: Serving) -> Result<(), Error> {
        let listed = serving
            .capabilities
            .clone()
            .unwrap_or_else(|| "nothing".to_owned());
        self.note(format!("told {listed}"));
        sleep(self.0.block).await;
        let Some(mut member) = self.0.directory.current().get(node).cloned() else {
            return Err(Error::invalid("unknown_member", "a scripted chain's own rule"));
        };
        (member.endpoint, member.capabilities) = (Some(serving.endpoint), serving.capabilities);
        self.set(member);
        Ok(())
    }

    async fn leave(&self, _: &NodeId) -> Result<(), Error> {
        self.note("left");
        self.deregister();
        Ok(())
    }

    async fn submit_weights(&self, _: OperationId, _: &NodeId, _: EpochId, _: Weights) -> Result<(), Error> {
        Err(Error::unsupported("no_weights", "a miner sets none"))
    }
}

/// An engine whose health and claims are set from outside.
#[derive(Clone)]
struct Engine(Arc<Mutex<(Health, ModuleCapabilities)>>);

impl Engine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Health::ready(), Self::claims(&["small"])))))
    }

    fn claims(models: &[&str]) -> ModuleCapabilities {
        let nothing = ModuleCapabilities::new("engine").with_task(Task::CHAT);
        models
            .iter()
            .fold(nothing, |claims, model| claims.with_model(ModelInfo::new(*model)))
    }

    fn is(&self, health: Health) {
        self.0.lock().unwrap().0 = health;
    }

    /// Claims these models from now on; the digest of that.
    fn has(&self, models: &[&str]) -> String {
        let claims = Self::claims(models);
        self.0.lock().unwrap().1 = claims.clone();
        claims.digest()
    }
}

#[async_trait]
impl InferenceModule for Engine {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(self.0.lock().unwrap().0.clone())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.lock().unwrap().1.clone()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        let said = [Delta::text("one two three"), Delta::finish(FinishReason::Stop)];
        Ok(Output::new(Body::from_deltas(said)))
    }

    fn get_metrics(&self) -> MetricsData {
        let mut metrics = MetricsData::default();
        metrics.counter("engine.requests", 3);
        metrics.counter_of("queue.refused", &[("reason", "full")], 2);
        metrics.counter_of("queue.refused", &[("reason", "deadline")], 0);
        metrics
    }
}

fn key() -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Sr25519, "//Bob").unwrap())
}

fn once(most: u64) -> Register {
    Register::Once {
        stake: STAKE,
        most_cost: Stake(most),
    }
}

fn again(most: u64) -> Register {
    Register::Again {
        stake: STAKE,
        most_cost: Stake(most),
    }
}

/// A node at work. Dropped, it is killed.
struct Running {
    task: JoinHandle<Result<(), Error>>,
    events: Arc<Mutex<Vec<&'static str>>>,
    status: Watch<MinerStatus>,
    stop: Option<oneshot::Sender<()>>,
}

type Configure = fn(MinerNode<StandardMiner>) -> MinerNode<StandardMiner>;

/// A node that serves by other means.
async fn start(chain: &Chain, data: &Path, engine: &Engine, register: Register) -> Running {
    start_with(chain, data, engine, register, |node| node).await
}

async fn start_with(
    chain: &Chain,
    data: &Path,
    engine: &Engine,
    register: Register,
    configure: Configure,
) -> Running {
    let node = MinerNode::new(chain.clone(), key())
        .served_elsewhere(StandardMiner::new(engine.clone()))
        .advertise(Endpoint::http(HERE).unwrap())
        .reachable_by(|_| async { Ok(()) })
        .register(register)
        .state(opened(data).await);
    launch(configure(node))
}

/// A node that was killed may still have had a file to write.
async fn opened(data: &Path) -> DataDir {
    loop {
        match DataDir::open(data) {
            Ok(opened) => return opened,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

fn launch(node: MinerNode<impl Miner>) -> Running {
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = events.clone();
    let node = node.on_event(move |event| noted.lock().unwrap().push(event.code()));
    let (stop, stopped) = oneshot::channel();
    Running {
        status: node.status(),
        task: tokio::spawn(node.run(async move {
            let _ = stopped.await;
        })),
        events,
        stop: Some(stop),
    }
}

impl Running {
    fn said(&self, code: &str) -> usize {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter(|said| **said == code)
            .count()
    }

    fn events(&self) -> Vec<&'static str> {
        self.events.lock().unwrap().clone()
    }

    fn alerts(&self) -> Vec<String> {
        let status = self.status.current();
        status.alerts.iter().map(|alert| alert.code.clone()).collect()
    }

    async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    async fn end(mut self) -> Result<(), Error> {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
