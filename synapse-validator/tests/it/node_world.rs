//! A validator node, its miners, and what happens to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{
    Connect, Error, InferenceModule, Input, Member, Message, ModuleCapabilities, probe::Probe,
};
use synapse_validator::{
    EvidenceLog, MinerPool, ScorePolicy, State, Validator, ValidatorNode,
    evidence::EpochEvidence,
    node::Alert,
    score::{Estimate, Reason, Score, Scores},
};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

use crate::{
    fleet::Miner,
    node_chain::{Chain, VALIDATOR},
};

/// A chain, miners that are its members, and a validator's state and alerts.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) miners: BTreeMap<String, Miner>,
    pub(crate) state: State,
    pub(crate) log: EvidenceLog,
    alerts: Arc<Mutex<Vec<String>>>,
}

/// A node that runs.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl World {
    pub(crate) fn of<const N: usize>(miners: [(&str, Miner); N]) -> Self {
        let chain = Chain::new();
        let miners: BTreeMap<_, _> = miners.map(|(name, miner)| (name.to_owned(), miner)).into();
        miners.keys().for_each(|name| chain.join_miner(name));
        Self {
            chain,
            miners,
            state: State::in_memory(),
            log: EvidenceLog::new(),
            alerts: Arc::default(),
        }
    }

    /// One good miner, `a`, and one that always fails, `b`.
    pub(crate) fn of_two() -> Self {
        let broken = Miner::failing(Error::internal("broken", "it always fails"));
        Self::of([("a", Miner::good()), ("b", broken)])
    }

    pub(crate) fn pool(&self) -> MinerPool {
        MinerPool::watch(
            synapse_core::Subnet::directory(&self.chain),
            Dial(self.miners.clone()),
        )
        .witness(self.log.clone())
    }

    /// A node that asks a simple question every second and scores by how many were answered.
    pub(crate) fn node(&self) -> ValidatorNode<Asker<Answered>> {
        self.node_by(Answered)
    }

    pub(crate) fn node_by<P: ScorePolicy>(&self, policy: P) -> ValidatorNode<Asker<P>> {
        let alerts = self.alerts.clone();
        ValidatorNode::new(self.chain.clone(), VALIDATOR)
            .pool(Arc::new(self.pool()))
            .evidence(self.log.clone())
            .state(self.state.clone())
            .judge(Asker(policy))
            .probe_every(Duration::from_secs(1))
            .seed(1)
            .on_alert(move |alert: &Alert| {
                let over = if alert.over { " is over" } else { "" };
                alerts.lock().unwrap().push(format!("{}{over}", alert.code));
            })
    }

    /// What was said to the operator, in its order.
    pub(crate) fn alerts(&self) -> Vec<String> {
        self.alerts.lock().unwrap().clone()
    }

    /// A process that was killed takes its log along.
    pub(crate) fn restarted(&mut self) {
        self.log = EvidenceLog::new();
    }

    /// An epoch from where it is served to where it was weighed, in 12 s.
    pub(crate) async fn epoch(&self, id: u64) {
        self.chain.serving(id);
        sleep(Duration::from_secs(8)).await;
        self.chain.weighing(id);
        sleep(Duration::from_secs(4)).await;
    }

    /// The stages of the stored epochs.
    pub(crate) fn stages(&self) -> Vec<(u64, &'static str)> {
        let record = |epoch| self.state.get(epoch).unwrap().unwrap();
        let epochs = self.state.epochs().into_iter();
        epochs
            .map(|epoch| (epoch.0, record(epoch).stage.as_str()))
            .collect()
    }

    /// Probes that are counted for a miner in a stored epoch.
    pub(crate) fn probes(&self, epoch: u64, miner: &str) -> u64 {
        let record = self.state.get(synapse_core::EpochId(epoch)).unwrap().unwrap();
        record
            .evidence
            .miner(&miner.into())
            .map_or(0, |miner| miner.probes.asked)
    }
}

/// Begins a node, on a task of its own.
pub(crate) fn run<V: Validator>(node: ValidatorNode<V>) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let running = node.run(async {
        let _ = stopped.await;
    });
    Running {
        stop: Some(stop),
        task: tokio::spawn(running),
    }
}

impl Running {
    /// Ends it as an operator does.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        drop(self.stop.take());
        self.task.await.unwrap()
    }

    /// What it ended with by itself.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        self.task.await.unwrap()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A validator that asks a simple question.
pub(crate) struct Asker<P>(pub(crate) P);

impl<P: ScorePolicy> Validator for Asker<P> {
    fn probe(&self, _: &Member, _: &ModuleCapabilities, _: u64, _: u64) -> Option<Probe> {
        Some(question())
    }

    fn policy(&self) -> &dyn ScorePolicy {
        &self.0
    }
}

pub(crate) fn question() -> Probe {
    Probe::new(
        "chat",
        Input::chat("m", [Message::user("hello")]),
        Duration::from_secs(5),
    )
}

/// Scores by how many probes were answered; without any, it has no opinion.
pub(crate) struct Answered;

impl ScorePolicy for Answered {
    fn name(&self) -> &'static str {
        "answered"
    }

    fn version(&self) -> u32 {
        3
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        Scores::new(evidence.miners.iter().map(|miner| {
            let reason = Reason::new("answered", format!("{} answered", miner.probes.answered));
            match miner.probes.asked {
                0 => Score::no_opinion(miner.miner.clone(), reason),
                #[expect(clippy::cast_precision_loss, reason = "few probes")]
                _ => Score::new(
                    miner.miner.clone(),
                    Estimate::exact(miner.probes.answered as f64),
                    vec![reason],
                ),
            }
        }))
    }
}

/// A policy that does what a test says.
pub(crate) struct Told<F>(pub(crate) F);

impl<F: Fn(&EpochEvidence) -> Scores + Send + Sync + 'static> ScorePolicy for Told<F> {
    fn name(&self) -> &'static str {
        "told"
    }

    fn version(&self) -> u32 {
        1
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        self.0(evidence)
    }
}

struct Dial(BTreeMap<String, Miner>);

impl Connect for Dial {
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        let miner = self.0.get(member.node.as_str()).cloned();
        miner
            .map(|miner| Arc::new(miner) as Arc<dyn InferenceModule>)
            .ok_or_else(|| Error::invalid("nobody", "nobody lives there"))
    }
}
