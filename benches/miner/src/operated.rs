//! A miner as an operator runs one: its node on a chain that knows two validators, and every layer.

use std::sync::Arc;

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Error, InferenceModule, ModuleExt as _, Role, Stake, SubnetId, SubnetParams,
    keys::{Keypair, Signer as _},
};
use synapse_http::{OpenAiModule, Server};
use synapse_miner::{
    AdmissionLayer, CircuitBreakerLayer, MinerNode, QueueLayer,
    access::{AccessLayer, AccessRules},
    inference::MeterLayer,
    monitor::ResourceMonitor,
    node::MinerEvent,
};
use tower::ServiceBuilder;

use crate::{Fault, hop::key};

/// Who asks, and what each has at stake.
pub(crate) const VALIDATORS: [(&str, u64); 2] = [("//Alice", 1_000), ("//Charlie", 1_000)];
/// Requests that wait: what the miner program has unless it is told otherwise.
const WAITING: usize = 64;

/// The miner, until it is killed.
pub(crate) async fn miner(engine: u16, slots: usize) -> Result<(), Fault> {
    let chain = LocalChain::in_memory();
    chain.create_subnet(SubnetId(7), SubnetParams::default())?;
    let subnet = chain.subnet(SubnetId(7)).await?;
    for (name, stake) in VALIDATORS {
        join(&chain, &subnet, key(name)?, Role::Validator, stake).await?;
    }
    let own = join(&chain, &subnet, key("//Bob")?, Role::Miner, 100).await?;
    let module = OpenAiModule::connect(&format!("http://127.0.0.1:{engine}")).await?;
    MinerNode::new(subnet.with_signer(own.clone()), own)
        .serve(Server::bind("127.0.0.1:0").await?, stack(module, slots))
        .on_event(|event| match event {
            MinerEvent::Serving(address) => println!("ready https://{address}"),
            event => eprintln!("miner: {event}"),
        })
        .run_until_signalled()
        .await?;
    Ok(())
}

async fn join(
    chain: &LocalChain,
    subnet: &LocalSubnet,
    key: Keypair,
    role: Role,
    stake: u64,
) -> Result<Arc<Keypair>, Error> {
    let key = Arc::new(key);
    chain.fund(key.address(), Stake(10 * stake))?;
    let own = subnet.with_signer(key.clone());
    own.register_node(&*key, role, Stake(stake)).await?;
    Ok(key)
}

/// The engine behind its layers, in the order in which the miner program has them.
fn stack(engine: OpenAiModule, slots: usize) -> impl InferenceModule {
    let monitor = ResourceMonitor::start();
    let meter = MeterLayer::new();
    let access = AccessLayer::new(AccessRules::default());
    let admission =
        AdmissionLayer::new(monitor.clone()).starting_at(u32::try_from(slots).unwrap_or(u32::MAX));
    let queue = QueueLayer::bounded(WAITING).concurrency(slots);
    let breaker = CircuitBreakerLayer::default();
    let layers = ServiceBuilder::new()
        .layer(meter.clone())
        .layer(access.clone())
        .layer(admission.clone())
        .layer(queue.clone())
        .layer(breaker.clone());
    engine
        .with(layers)
        .attach(meter)
        .attach(access)
        .attach(admission)
        .attach(queue)
        .attach(breaker)
        .attach(monitor)
}
