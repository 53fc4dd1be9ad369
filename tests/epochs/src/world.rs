//! The subnet, its epochs, and what came of each.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    EpochId, Error, InferenceModule, ModuleExt, NodeId, Role, ScoreBook, ScoreReport, Stake, Subnet,
    SubnetId, SubnetParams, WallClock,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::{Server, SignedHttp};
use synapse_validator::{EvidenceLog, MinerPool, TraceLayer, ValidatorNode, state::State};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{Behaviour, miners::Miner, users};

const SUBNET: SubnetId = SubnetId(7);

/// How it is run.
#[derive(Debug, Clone)]
pub struct Epochs {
    /// How many epochs.
    pub count: u64,
    /// Time of a block; an epoch has thirty, of which the last ten take weights.
    pub block: Duration,
    /// Where the validator keeps its state; in memory where this is left out.
    pub state: Option<PathBuf>,
    /// Validators: the first has the gateway that users ask, all judge.
    pub validators: usize,
    /// What time it is for the validators; their machine's own where this is left out.
    pub clock: Option<Arc<dyn WallClock>>,
}

/// What came of an epoch.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its number, from 1.
    pub epoch: u64,
    /// The weights that the chain took from the first validator.
    pub weights: BTreeMap<Behaviour, u16>,
    /// What each validator says of each miner.
    pub reports: Vec<BTreeMap<Behaviour, ScoreReport>>,
    /// Whose share changed by more than a tenth of all, and why.
    pub changes: Vec<String>,
}

impl Row {
    /// A miner's share of the weights.
    #[must_use]
    pub fn share(&self, behaviour: Behaviour) -> f64 {
        let all: f64 = self.weights.values().map(|weight| f64::from(*weight)).sum();
        if all == 0.0 {
            0.0
        } else {
            self.weight(behaviour) / all
        }
    }

    /// A miner's weight over the largest.
    #[must_use]
    pub fn relative(&self, behaviour: Behaviour) -> f64 {
        self.weight(behaviour) / 65_535.0
    }

    /// The code of the first reason that the first validator gives.
    #[must_use]
    pub fn reason(&self, behaviour: Behaviour) -> Option<&str> {
        let report = self.reports.first()?.get(&behaviour)?;
        report.reasons.first().map(|reason| &*reason.code)
    }

    fn weight(&self, behaviour: Behaviour) -> f64 {
        self.weights.get(&behaviour).copied().map_or(0.0, f64::from)
    }

    /// Whose weight over the largest changed by more than a tenth since `before`, and why.
    fn explain(&mut self, before: Option<&Self>) {
        for behaviour in Behaviour::ALL {
            let was = before.map_or(1.0, |row| row.relative(behaviour));
            let is = self.relative(behaviour);
            if (was - is).abs() < 0.1 {
                continue;
            }
            let report = self.reports.first().and_then(|reports| reports.get(&behaviour));
            let why = match report.and_then(|report| report.reasons.first()) {
                None => "it is no member".to_owned(),
                Some(_) if is == 0.0 && behaviour == Behaviour::Leaving => {
                    "it is no member any more".to_owned()
                }
                Some(reason) if reason.factor == Some(1.0) => "nothing is held against it".to_owned(),
                Some(reason) => format!("{}: {}", reason.code, reason.text),
            };
            let verb = if is < was { "loses" } else { "regains" };
            self.changes.push(format!("{} {verb}: {why}", behaviour.name()));
        }
    }
}

/// A validator that judges.
struct Judge {
    node: NodeId,
    pool: Arc<MinerPool>,
    book: Arc<dyn ScoreBook>,
}

/// Runs the epochs, and calls `told` with each as it ends.
///
/// # Errors
/// Where a part of it does not start.
pub async fn run(epochs: Epochs, mut told: impl FnMut(&Row)) -> Result<Vec<Row>, Error> {
    let chain = LocalChain::builder().block_time(epochs.block).build()?;
    let params = SubnetParams::default().with_epochs(30, 10).with_immunity(0);
    chain.create_subnet(SUBNET, params)?;
    let subnet = chain.subnet(SUBNET).await?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();

    let mut miners = Vec::new();
    for behaviour in Behaviour::ALL {
        let pause = Duration::from_millis(4);
        miners.push(Miner::start(behaviour, pause, &chain, &subnet, &mut servers, stopped.clone()).await?);
    }
    let mut judges = Vec::new();
    for number in 0..epochs.validators.max(1) {
        let key = Arc::new(Keypair::generate(Scheme::Sr25519)?);
        let node = key.address().clone();
        chain.fund(&node, Stake(1_000))?;
        let own = subnet.with_signer(key.clone());
        own.register_node(&*key, Role::Validator, Stake(500)).await?;
        let evidence = EvidenceLog::new();
        let pool = MinerPool::watch(
            subnet.directory(),
            SignedHttp::new(key).with(|builder| match epochs.clock.clone() {
                Some(clock) => builder.allow_loopback(true).wall_clock(clock),
                None => builder.allow_loopback(true),
            }),
        )
        .probe_interval(Duration::from_millis(400))
        .witness(evidence.clone());
        let pool = Arc::new(pool);
        let state = match (&epochs.state, number) {
            (Some(folder), 0) => State::open(folder)?,
            _ => State::in_memory(),
        };
        let validator = ValidatorNode::new(own, node.clone())
            .pool(pool.clone())
            .evidence(evidence.clone())
            .state(state)
            .probe_every(Duration::from_millis(300))
            .seed(7 + number as u64);
        let book = validator.book();
        let mut stopped = stopped.clone();
        pool.initialize().await?;
        servers.spawn(validator.run(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        judges.push(Judge { node, pool, book });
    }
    let gateway = gateway(&judges, &mut servers, stopped.clone()).await?;
    let mut users = users::start(gateway, &stopped);

    let mut following = subnet.epochs();
    let mut current: Option<EpochId> = None;
    let (mut first, mut rows) = (None::<EpochId>, Vec::<Row>::new());
    while (rows.len() as u64) < epochs.count {
        let Some(epoch) = following.next().await else {
            break;
        };
        if current == Some(epoch.id) {
            continue;
        }
        // The first epoch that was seen from its beginning is number 1.
        if let (Some(ended), Some(first)) = (current, first) {
            let number = ended.0 - first.0 + 1;
            let mut row = row(number, ended, &subnet, &miners, &judges).await?;
            row.explain(rows.last());
            told(&row);
            rows.push(row);
        }
        if current.is_some() && first.is_none() {
            first = Some(epoch.id);
        }
        current = Some(epoch.id);
        if let Some(first) = first {
            let number = epoch.id.0 - first.0 + 1;
            for miner in &mut miners {
                miner.turn(number).await?;
            }
        }
    }
    let _ = stop.send(true);
    while users.join_next().await.is_some() {}
    for judge in &judges {
        judge.pool.shutdown().await?;
    }
    while let Some(ended) = servers.join_next().await {
        ended.map_err(|error| {
            Error::internal("part_ended", "a part of the subnet panicked").with_source(error)
        })??;
    }
    Ok(rows)
}

/// The gateway that users ask, over the first validator's pool.
async fn gateway(
    judges: &[Judge],
    servers: &mut JoinSet<Result<(), Error>>,
    mut stop: watch::Receiver<bool>,
) -> Result<SocketAddr, Error> {
    let trace = TraceLayer::new();
    let stack = judges[0].pool.clone().with(trace.clone()).attach(trace);
    let (ready, is_ready) = oneshot::channel();
    let server = Server::bind("127.0.0.1:0")
        .await?
        .drain_timeout(Duration::from_secs(2))
        .on_ready(|address| {
            let _ = ready.send(address);
        })
        .shutdown(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
    servers.spawn(server.serve(synapse_http::router(stack)));
    is_ready
        .await
        .map_err(|_| Error::internal("gateway_ended", "the gateway ended before it was ready"))
}

async fn row(
    number: u64,
    epoch: EpochId,
    subnet: &LocalSubnet,
    miners: &[Miner],
    judges: &[Judge],
) -> Result<Row, Error> {
    let taken = subnet.weights(epoch).await?;
    let mut weights = BTreeMap::new();
    if let Some((_, of_first)) = taken.iter().find(|(validator, _)| *validator == judges[0].node) {
        for weight in of_first.as_slice() {
            if let Some(miner) = miners.iter().find(|miner| miner.node == weight.node) {
                weights.insert(miner.behaviour, weight.value);
            }
        }
    }
    let mut reports = Vec::new();
    for judge in judges {
        let mut by_miner = BTreeMap::new();
        for miner in miners {
            // Who is no member is not judged.
            if let Ok(report) = judge.book.report(&miner.node, Some(epoch)).await {
                by_miner.insert(miner.behaviour, report);
            }
        }
        reports.push(by_miner);
    }
    Ok(Row {
        epoch: number,
        weights,
        reports,
        changes: Vec::new(),
    })
}
