//! Miners: an engine each, behind a queue, served over HTTP and registered in the chain.

use std::{sync::Arc, time::Duration};

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Endpoint, Error, InferenceModule, ModuleExt, NodeId, PromptRenderer, Registration, Role, Stake, Subnet,
    Tokenizer,
};
use synapse_http::Server;
use synapse_llama::{ChatTemplate, LlamaModule, LlamaTokenizer, LlamaWeights};
use synapse_miner::QueueLayer;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::sleep,
};

use crate::Options;

/// Requests that an engine works on at once.
const PARALLEL: usize = 4;
/// Requests that wait for one.
const WAITING: usize = 64;

/// Miners that are being served.
pub(crate) struct Miners {
    tasks: JoinSet<Result<(), Error>>,
    stop: watch::Sender<bool>,
}

/// Starts the miners over one set of weights, and makes them members of the subnet.
pub(crate) async fn start(
    options: &Options,
    weights: &LlamaWeights,
    chain: &LocalChain,
    subnet: &LocalSubnet,
) -> Result<Miners, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (stop, stopped) = watch::channel(false);
    let (mut tasks, mut starting) = (JoinSet::new(), Vec::new());
    for number in 1..=options.miners {
        let node = NodeId::from(format!("miner-{number}"));
        let queue = QueueLayer::bounded(WAITING).concurrency(PARALLEL);
        let module = LlamaModule::over(weights)
            .model_id(&*options.model_id)
            .parallel(PARALLEL)
            .context_length(2048.min(weights.trained_context_length()))
            // llama.cpp's threads spin while they wait: engines that share a machine must not claim it whole.
            .threads((cores / usize::from(options.miners)).max(1))
            .build()
            .with(queue.clone())
            .attach(queue);
        let mut stopped = stopped.clone();
        let (ready, is_ready) = oneshot::channel();
        let server = Server::bind("127.0.0.1:0")
            .await?
            .on_ready(|address| {
                let _ = ready.send(address);
            })
            .shutdown(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        tasks.spawn(server.serve(synapse_http::router(module)));
        starting.push((node, is_ready));
    }
    let mut miners = Miners { tasks, stop };
    for (node, is_ready) in starting {
        let Ok(address) = is_ready.await else {
            return Err(miners.fault().await);
        };
        let endpoint = Endpoint::http(&format!("http://{address}"))?;
        chain.fund(&node, Stake(1_000))?;
        subnet
            .register(Registration::new(node.as_str(), Role::Miner, Stake(100)))
            .await?;
        subnet.serve(&node, endpoint.clone().into()).await?;
        eprintln!("{node} serves {} at {endpoint}", options.model_id);
    }
    Ok(miners)
}

impl Miners {
    /// Why a miner ended that should not have.
    async fn fault(&mut self) -> Error {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Err(error)) => return error,
                Err(error) => {
                    return Error::internal("miner_ended", "a miner's server ended").with_source(error);
                }
                Ok(Ok(())) => {}
            }
        }
        Error::internal("miner_ended", "a miner ended before it was ready")
    }

    /// Stops the miners, and waits until they are drained.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| {
                Error::internal("miner_ended", "a miner's server ended").with_source(error)
            })??;
        }
        Ok(())
    }
}

/// Waits until a miner is ready.
pub(crate) async fn until_ready(gateway: &impl InferenceModule) -> Result<(), Error> {
    for _ in 0..1_200 {
        let health = gateway.health_check().await?;
        if health.is_serving() {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(
        Error::unavailable("no_miner", "no miner became ready within a minute")
            .with_hint("RUST_LOG=debug shows why"),
    )
}

/// The model's own tokenizer, for the gateway to count with.
pub(crate) fn tokenizer(weights: &LlamaWeights) -> Arc<dyn Tokenizer> {
    Arc::new(LlamaTokenizer::new(weights.clone()))
}

/// The model's own chat template, if it has one.
pub(crate) fn renderer(weights: &LlamaWeights) -> Option<Arc<dyn PromptRenderer>> {
    Some(Arc::new(ChatTemplate::of(weights).ok()?))
}
