//! Miners: an engine each, behind a queue, served over HTTP and registered in the chain.

use std::{sync::Arc, time::Duration};

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Endpoint, Error, InferenceModule, ModuleExt, NodeId, PromptRenderer, Registration, Role, Stake, Subnet, Tokenizer,
};
use synapse_http::Server;
use synapse_llama::{ChatTemplate, LlamaModule, LlamaTokenizer, LlamaWeights};
use synapse_miner::QueueLayer;
use tokio::{sync::watch, task::JoinSet, time::sleep};

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
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for number in 1..=options.miners {
        let node = NodeId::from(format!("miner-{number}"));
        let queue = QueueLayer::bounded(WAITING).concurrency(PARALLEL);
        let module = LlamaModule::over(weights)
            .model_id(&*options.model_id)
            .parallel(PARALLEL)
            .context_length(2048.min(weights.trained_context_length()))
            .threads(std::thread::available_parallelism().map_or(1, usize::from))
            .build()
            .with(queue.clone())
            .attach(queue);
        let mut stopped = stopped.clone();
        let server = Server::bind("127.0.0.1:0").await?.shutdown(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        let endpoint = Endpoint::http(&format!("http://{}", server.local_addr()))?;
        eprintln!("{node} serves {} at {endpoint}", options.model_id);
        tasks.spawn(server.serve(synapse_http::router(module)));

        chain.fund(&node, Stake(1_000))?;
        subnet.register(Registration::new(node.as_str(), Role::Miner, Stake(100))).await?;
        subnet.serve(&node, endpoint).await?;
    }
    Ok(Miners { tasks, stop })
}

impl Miners {
    /// Stops the miners, and waits until they are drained.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| Error::internal("miner_ended", "a miner's server ended").with_source(error))??;
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
    Err(Error::unavailable("no_miner", "no miner became ready within a minute").with_hint("RUST_LOG=debug shows why"))
}

/// The model's own tokenizer, for the gateway to count with.
pub(crate) fn tokenizer(weights: &LlamaWeights) -> Arc<dyn Tokenizer> {
    Arc::new(LlamaTokenizer::new(weights.clone()))
}

/// The model's own chat template, if it has one.
pub(crate) fn renderer(weights: &LlamaWeights) -> Option<Arc<dyn PromptRenderer>> {
    Some(Arc::new(ChatTemplate::of(weights).ok()?))
}
