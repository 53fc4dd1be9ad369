//! The node.

use std::sync::Arc;

use node_args::{
    config::{Hangups, tell},
    status::StatusFile,
};
use synapse_core::{
    DataDir, Endpoint, Error, InferenceModule, ModuleExt as _, Stake, Watch, WatchSender,
    config::{Change, Live},
    keys::Signer,
};
use synapse_http::Server;
use synapse_miner::{
    QueueLayer,
    access::AccessLayer,
    inference::MeterLayer,
    node::{MinerEvent, MinerNode},
};
use tower::ServiceBuilder;

use crate::{config::MinerConfig, engine::Around, validators::Asks};

pub(crate) async fn serve(live: Live<MinerConfig>) -> Result<(), Error> {
    // First of all: before, one would end the node.
    let hangups = Hangups::listen()?;
    let options = live.current();
    let data = Arc::new(DataDir::open(&options.data_dir)?);
    let file = StatusFile::new(data.path());
    let hotkey = options.key.unlock().await?.hotkey();
    let server = options.server.bind().await?;
    let metrics = match &options.metrics {
        Some(address) => Some(Server::bind(address).await?.allow_plain_http(false)),
        None => None,
    };
    let queue = options.queue.layer();
    let around = Around {
        parallel: options.queue.parallel,
        state: data.path(),
        node: hotkey.address(),
        scale: &options.scale,
        queue: &queue,
    };
    let engine = options.engine.start(&around).await?;
    let access = AccessLayer::new(options.access.rules(Stake(options.min_stake)));
    let module = stack(engine, access.clone(), queue, &options);

    let chain = options.chain.connect_lazy()?.with_signer(hotkey.clone());
    let what = format!("the chain at {}", options.chain.url);
    eprintln!("{} waits for {what}", hotkey.address());
    let mut told = teller(&options, hotkey.address().as_str());
    let mut node = MinerNode::new(chain.subnet_lazy(options.chain.subnet()), hotkey.clone())
        .serve(server, module)
        .waits_for(what)
        .min_stake(Stake(options.min_stake))
        .register(options.register.terms())
        .scores(Asks::new(hotkey, live.clone()))
        .state(data.clone())
        .on_event(move |event| told(event));
    let mut moves = None;
    if let Some(url) = &options.advertise {
        let (advertised, endpoint) = Watch::channel(Endpoint::http(url)?);
        node = node.advertise_moving(endpoint);
        moves = Some(advertised);
    }
    if options.plain_http {
        node = node.plain_http();
    }
    if let Some(metrics) = metrics {
        node = node.metrics(metrics);
    }
    let least_stake = Stake(options.min_stake);
    let reloading = hangups.reload(live.clone(), async |mut reloaded| {
        if let Ok(changes) = &mut reloaded {
            let now = live.current();
            advertise(&now, moves.as_ref(), changes);
            access.set_rules(now.access.rules(least_stake));
        }
        // Once it is so.
        tell(&reloaded);
    });
    let status = node.status();
    let ended = tokio::select! {
        ended = Box::pin(node.run_until_signalled()) => ended,
        _ = reloading => Ok(()),
        never = file.keep(status.clone()) => match never {},
    };
    if let Err(error) = file.end(status.current()).await {
        eprintln!("{error}");
    }
    // Nobody else writes there before.
    drop(data);
    ended
}

/// The engine behind its layers, in the order in which a request meets them.
fn stack(
    engine: Box<dyn InferenceModule>,
    access: AccessLayer,
    queue: QueueLayer,
    options: &MinerConfig,
) -> impl InferenceModule + use<> {
    let monitor = match options.engine.gpus.as_slice() {
        [] => options.monitor.builder(),
        // What others do with the other GPUs does not concern it.
        of_engine => options.monitor.builder().watching_gpus(of_engine.iter().copied()),
    };
    let monitor = monitor.start();
    let meter = MeterLayer::new();
    // The operator's number is where learning begins.
    let parallel = u32::try_from(options.queue.parallel).unwrap_or(u32::MAX);
    let admission = options.admission.layer(monitor.clone()).starting_at(parallel);
    let breaker = options.breaker.layer();
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

/// Moves to where a configuration that was read again says. A node that took the address that it listens on cannot, nor can
/// one go back to that.
fn advertise(now: &MinerConfig, moves: Option<&WatchSender<Endpoint>>, changes: &mut [Change]) {
    let Some(change) = changes.iter_mut().find(|change| change.key == "advertise") else {
        return;
    };
    match (moves, now.advertise.as_deref().map(Endpoint::http)) {
        (Some(moves), Some(Ok(endpoint))) => moves.set(endpoint),
        _ => change.needs_restart = true,
    }
}

/// Says what happens, on standard error; that it is ready, on standard output.
fn teller(options: &MinerConfig, node: &str) -> impl FnMut(&MinerEvent) + Send + use<> {
    let scheme = if options.plain_http { "http" } else { "https" };
    let register = options.key.register_command(&options.chain);
    let node = node.to_owned();
    move |event| match event {
        MinerEvent::Serving(address) => node_args::say_ready(scheme, address),
        MinerEvent::Unregistered => eprintln!(
            "{node} is no member of the subnet, so nobody asks it until it is:\n  {register} --role miner --stake …"
        ),
        // The log has it.
        event if event.is_alert() => {}
        event => eprintln!("{node}: {event}"),
    }
}
