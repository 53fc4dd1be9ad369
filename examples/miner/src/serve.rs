//! The node.

use std::{net::SocketAddr, sync::Arc};

use node_args::config::{reload_on_hangup, tell};
use synapse_core::{
    DataDir, Endpoint, Error, Member, ModuleExt as _, ScoreReport, Stake, async_trait, config::Live,
    keys::Signer,
};
use synapse_http::{ScoresClient, Server};
use synapse_miner::node::{MinerEvent, MinerNode, ScoreSource};

use crate::config::{MinerConfig, ValidatorsConfig};

pub(crate) async fn serve(live: Live<MinerConfig>) -> Result<(), Error> {
    let options = live.current();
    let data = DataDir::open(&options.data_dir)?;
    let hotkey = options.key.unlock().await?.hotkey();
    let server = options.server.bind().await?;
    let endpoint = options.advertised(&server.local_addr().to_string())?;
    let metrics = match &options.metrics {
        Some(address) => Some(Server::bind(address).await?.allow_plain_http(false)),
        None => None,
    };
    let engine = options.engine.start(options.queue.parallel).await?;
    let queue = options.queue.layer();
    let module = engine.with(queue.clone()).attach(queue);

    let chain = options.chain.connect_lazy()?.with_signer(hotkey.clone());
    let what = format!("the chain at {}", options.chain.url);
    eprintln!("{} waits for {what}", hotkey.address());
    let mut told = teller(&options, hotkey.address().as_str());
    let mut node = MinerNode::new(chain.subnet_lazy(options.chain.subnet()), hotkey.clone())
        .serve(server, module)
        .advertise(endpoint)
        .waits_for(what)
        .min_stake(Stake(options.min_stake))
        .register(options.register.terms())
        .scores(Asks {
            hotkey,
            of: options.validators.clone(),
        })
        .state(data)
        .on_event(move |event| told(event));
    if options.plain_http {
        node = node.plain_http();
    }
    if let Some(metrics) = metrics {
        node = node.metrics(metrics);
    }
    tokio::select! {
        ended = Box::pin(node.run_until_signalled()) => ended,
        _ = reload_on_hangup(live, |reloaded| tell(&reloaded)) => Ok(()),
    }
}

/// Says what happens, on standard error; that it is ready, on standard output.
fn teller(options: &MinerConfig, node: &str) -> impl FnMut(&MinerEvent) + Send + use<> {
    let scheme = if options.plain_http { "http" } else { "https" };
    let register = options.key.register_command(&options.chain);
    let node = node.to_owned();
    move |event| match event {
        MinerEvent::Serving(address) => println!("ready {scheme}://{address}"),
        MinerEvent::Unregistered => eprintln!(
            "{node} is no member of the subnet, so nobody asks it until it is:\n  {register} --role miner --stake …"
        ),
        // The log has it.
        event if event.is_alert() => {}
        event => eprintln!("{node}: {event}"),
    }
}

impl MinerConfig {
    /// Where validators are told to ask it, where it listens on `address`.
    pub(crate) fn advertised(&self, address: &str) -> Result<Endpoint, Error> {
        if let Some(url) = &self.advertise {
            return Endpoint::http(url);
        }
        if address
            .parse()
            .is_ok_and(|address: SocketAddr| address.ip().is_unspecified())
        {
            return Err(Error::invalid(
                "no_address",
                format!("{address} is every address of this machine, and none that validators could ask"),
            )
            .with_hint("say where they reach it: --advertise https://host:port"));
        }
        let scheme = if self.plain_http { "http" } else { "https" };
        Endpoint::http(&format!("{scheme}://{address}"))
    }
}

/// Asks validators at the addresses that the directory has of them.
struct Asks {
    hotkey: Arc<dyn Signer>,
    of: ValidatorsConfig,
}

#[async_trait]
impl ScoreSource for Asks {
    async fn report(&self, validator: &Member) -> Result<ScoreReport, Error> {
        let client = ScoresClient::listed(validator, self.hotkey.clone())?.with(|builder| {
            builder
                .allow_loopback(self.of.allow_loopback)
                .allow_private(self.of.allow_private)
                .allow_plain_http(self.of.allow_plain_http)
        });
        Ok(client.report(None).await?.value().clone())
    }
}
