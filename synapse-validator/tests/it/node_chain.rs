//! A chain that says what it is told to say, and takes weights as a chain does: once for each operation, in the weighing
//! phase of their epoch, of members only. Beyond that it only injects faults.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use synapse_core::{
    BlockNumber, Directory, Endpoint, Epoch, EpochId, Error, ErrorKind, Member, NodeId, OperationId, Phase,
    Registration, Role, Serving, Stake, Subnet, SubnetId, SubnetParams, Watch, WatchSender, Weights,
    async_trait,
};
use tokio::{sync::Semaphore, time::sleep};

/// Blocks of an epoch; the last two take weights.
pub(crate) const BLOCKS: u64 = 10;
pub(crate) const VALIDATOR: &str = "validator";

/// What becomes of a submission instead of what should.
pub(crate) enum Fault {
    /// It is not taken, and this is said.
    Refuse(Error),
    /// It is taken, and this is said.
    TakeAndSay(Error),
    /// It is taken, and nothing is ever said.
    TakeAndHang,
    /// It is taken after so long, and that is said after as long again.
    Slow(Duration),
    /// Nothing becomes of it, and nothing is ever said.
    Hang,
    /// What the chain is behind panics.
    Panic,
}

/// A chain of one subnet. A clone is the same chain.
#[derive(Clone)]
pub(crate) struct Chain(Arc<State>);

struct State {
    members: Mutex<BTreeMap<NodeId, Member>>,
    directory: WatchSender<Directory>,
    params: Watch<SubnetParams>,
    epochs: Mutex<Option<WatchSender<Epoch>>>,
    following: Watch<Epoch>,
    faults: Mutex<VecDeque<Fault>>,
    calls: Mutex<Vec<(OperationId, EpochId, Weights)>>,
    taken: Mutex<BTreeMap<OperationId, (EpochId, Weights)>>,
    called: Semaphore,
    panics: AtomicBool,
}

impl Chain {
    /// A chain whose validator may set weights, at the first block of epoch 1.
    pub(crate) fn new() -> Self {
        let (sender, following) = Watch::channel(epoch(1, Phase::Serving));
        let params = SubnetParams::default()
            .with_epochs(BLOCKS, 2)
            .with_min_stakes(Stake(0), Stake(100));
        let chain = Self(Arc::new(State {
            members: Mutex::default(),
            directory: Watch::channel(Directory::default()).0,
            params: Watch::constant(params),
            epochs: Mutex::new(Some(sender)),
            following,
            faults: Mutex::default(),
            calls: Mutex::default(),
            taken: Mutex::default(),
            called: Semaphore::new(0),
            panics: AtomicBool::new(false),
        }));
        chain.join(Member::new(VALIDATOR, Role::Validator).with_stake(Stake(100)));
        chain
    }

    pub(crate) fn join(&self, member: Member) {
        self.0.members.lock().unwrap().insert(member.node.clone(), member);
        self.publish();
    }

    pub(crate) fn join_miner(&self, name: &str) {
        let endpoint = Endpoint::http(&format!("http://{name}")).unwrap();
        self.join(Member::new(name, Role::Miner).with_endpoint(endpoint));
    }

    /// Takes a member out, and says so.
    pub(crate) fn leave(&self, name: &str) {
        self.leave_secretly(name);
        self.publish();
    }

    /// Takes a member out; followers have not heard yet.
    pub(crate) fn leave_secretly(&self, name: &str) {
        self.0.members.lock().unwrap().remove(&NodeId::from(name));
    }

    fn publish(&self) {
        let members: Vec<_> = self.0.members.lock().unwrap().values().cloned().collect();
        self.0.directory.set(Directory::new(members, BlockNumber(1)));
    }

    pub(crate) fn say(&self, epoch: Epoch) {
        let sender = self.0.epochs.lock().unwrap();
        sender.as_ref().unwrap().set(epoch);
    }

    pub(crate) fn serving(&self, id: u64) {
        self.say(epoch(id, Phase::Serving));
    }

    pub(crate) fn weighing(&self, id: u64) {
        self.say(epoch(id, Phase::Weighing));
    }

    /// Nobody will ever say again what epoch it is.
    pub(crate) fn end(&self) {
        *self.0.epochs.lock().unwrap() = None;
    }

    /// Goes back behind what it has taken for `epoch`.
    pub(crate) fn forget(&self, epoch: u64) {
        self.0
            .taken
            .lock()
            .unwrap()
            .retain(|_, (taken, _)| taken.0 != epoch);
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.0.faults.lock().unwrap().push_back(fault);
    }

    pub(crate) fn fail_often(&self, times: usize, error: &Error) {
        (0..times).for_each(|_| self.fail(Fault::Refuse(error.clone())));
    }

    /// Who asks for its rules next panics.
    pub(crate) fn panic_once(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    /// Every submission that was tried.
    pub(crate) fn calls(&self) -> Vec<(OperationId, EpochId, Weights)> {
        self.0.calls.lock().unwrap().clone()
    }

    /// Epochs with weights, in the order of the epochs; one entry an operation.
    pub(crate) fn taken(&self) -> Vec<(u64, Vec<(String, u16)>)> {
        let taken = self.0.taken.lock().unwrap();
        let mut taken: Vec<_> = taken
            .values()
            .map(|(epoch, weights)| {
                let weights = weights.as_slice().iter();
                (
                    epoch.0,
                    weights
                        .map(|weight| (weight.node.to_string(), weight.value))
                        .collect(),
                )
            })
            .collect();
        taken.sort();
        taken
    }

    /// The epochs that have weights.
    pub(crate) fn weighed(&self) -> Vec<u64> {
        self.taken().into_iter().map(|(epoch, _)| epoch).collect()
    }

    /// Waits for the next submission that nobody waited for yet.
    pub(crate) async fn called(&self) {
        self.0.called.acquire().await.unwrap().forget();
    }

    fn take(
        &self,
        operation: OperationId,
        validator: &NodeId,
        at: EpochId,
        weights: Weights,
    ) -> Result<(), Error> {
        let mut taken = self.0.taken.lock().unwrap();
        match taken.get(&operation) {
            Some(known) if *known == (at, weights.clone()) => return Ok(()),
            Some(_) => return Err(Error::invalid("operation_reused", "used for other weights")),
            None => {}
        }
        let members = self.0.members.lock().unwrap();
        let stranger = |node: &NodeId| {
            let text = format!("{node} is no member of the subnet");
            Err(Error::new(ErrorKind::NotFound, "unknown_member", text))
        };
        match members.get(validator) {
            None => return stranger(validator),
            Some(member) if member.stake < Stake(100) => {
                return Err(Error::new(ErrorKind::Forbidden, "may_not_weigh", "stake more"));
            }
            Some(_) => {}
        }
        let now = self.0.following.current();
        if now.id != at || now.phase != Phase::Weighing {
            return Err(Error::invalid("epoch_closed", "not taken now"));
        }
        if let Some(weight) = weights
            .as_slice()
            .iter()
            .find(|weight| !members.contains_key(&weight.node))
        {
            return stranger(&weight.node);
        }
        taken.insert(operation, (at, weights));
        Ok(())
    }
}

/// An epoch of [`BLOCKS`] blocks.
pub(crate) fn epoch(id: u64, phase: Phase) -> Epoch {
    Epoch::new(
        EpochId(id),
        phase,
        BlockNumber(id * BLOCKS),
        BlockNumber((id + 1) * BLOCKS),
    )
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
        assert!(!self.0.panics.swap(false, Ordering::SeqCst), "injected");
        self.0.params.clone()
    }

    fn epochs(&self) -> Watch<Epoch> {
        self.0.following.clone()
    }

    async fn register(&self, _: Registration) -> Result<Member, Error> {
        Err(Error::unsupported("scripted", "nobody registers here"))
    }

    async fn serve(&self, _: &NodeId, _: Serving) -> Result<(), Error> {
        Err(Error::unsupported("scripted", "nobody serves here"))
    }

    async fn leave(&self, _: &NodeId) -> Result<(), Error> {
        Err(Error::unsupported("scripted", "nobody leaves here"))
    }

    async fn submit_weights(
        &self,
        operation: OperationId,
        validator: &NodeId,
        epoch: EpochId,
        weights: Weights,
    ) -> Result<(), Error> {
        let call = (operation.clone(), epoch, weights.clone());
        self.0.calls.lock().unwrap().push(call);
        self.0.called.add_permits(1);
        let fault = self.0.faults.lock().unwrap().pop_front();
        match fault {
            None => self.take(operation, validator, epoch, weights),
            Some(Fault::Refuse(error)) => Err(error),
            Some(Fault::TakeAndSay(error)) => {
                self.take(operation, validator, epoch, weights)?;
                Err(error)
            }
            Some(Fault::TakeAndHang) => {
                self.take(operation, validator, epoch, weights)?;
                std::future::pending().await
            }
            Some(Fault::Slow(pause)) => {
                sleep(pause).await;
                self.take(operation, validator, epoch, weights)?;
                sleep(pause).await;
                Ok(())
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Panic) => panic!("injected"),
        }
    }
}
