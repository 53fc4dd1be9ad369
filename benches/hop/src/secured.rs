//! The hop from a gateway to a miner: in plain HTTP, over TLS, signed, and both.

use std::sync::Arc;

use clap::ValueEnum;
use synapse_core::{
    Body, Delta, Directory, Endpoint, Error, FinishReason, Health, InferenceModule, Input, Member,
    MetricsData, ModelInfo, ModuleCapabilities, Output, Role, Task, Usage, Watch, async_trait,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::{HttpConnect, Server, SignedHttp, Verifier, tls::NodeTls};
use synapse_validator::{MinerPool, P2c, PeakEwma};

use crate::Fault;

/// How a gateway and a miner speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hop {
    Plain,
    Tls,
    Signed,
    SignedEd25519,
    Both,
}

pub(crate) const HOPS: [(&str, &str); 5] = [
    ("plain", "plain"),
    ("tls", "TLS"),
    ("signed", "signed (sr25519)"),
    ("signed-ed25519", "signed (ed25519)"),
    ("both", "TLS and signed (sr25519)"),
];

impl Hop {
    fn key(self, name: &str) -> Result<Keypair, Error> {
        let scheme = match self {
            Self::SignedEd25519 => Scheme::Ed25519,
            _ => Scheme::Sr25519,
        };
        Keypair::from_uri(scheme, name)
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Both)
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::Signed | Self::SignedEd25519 | Self::Both)
    }
}

/// A miner whose module answers at once.
pub(crate) async fn miner(hop: Hop) -> Result<(), Fault> {
    let (gateway, own) = (hop.key("//Alice")?, hop.key("//Bob")?);
    let mut api = synapse_http::router(Ready);
    if hop.is_signed() {
        let caller = Member::new(gateway.address().clone(), Role::Validator);
        let directory = Watch::constant(Directory::new([caller], Default::default()));
        let verifier =
            Verifier::new(own.address().clone(), directory).replay_capacity(10_000_000, 10_000_000);
        api = api.signed(verifier);
    }
    let mut server = Server::bind("127.0.0.1:0").await?;
    if hop.has_tls() {
        server = server.tls(NodeTls::new(own).await?);
    }
    let scheme = if hop.has_tls() { "https" } else { "http" };
    server
        .on_ready(move |address| println!("ready {scheme}://{address}"))
        .serve(api)
        .await?;
    Ok(())
}

/// A gateway in front of the miner at this port.
pub(crate) async fn gateway(hop: Hop, miner: u16) -> Result<(), Fault> {
    let scheme = if hop.has_tls() { "https" } else { "http" };
    let member = Member::new(hop.key("//Bob")?.address().clone(), Role::Miner)
        .with_endpoint(Endpoint::http(&format!("{scheme}://127.0.0.1:{miner}"))?);
    let node = member.node.clone();
    let directory = Watch::constant(Directory::new([member], Default::default()));
    let signer: Arc<dyn Signer> = Arc::new(hop.key("//Alice")?);
    let pool = if hop.is_signed() {
        MinerPool::watch(
            directory,
            SignedHttp::new(signer).with(|builder| builder.allow_loopback(true)),
        )
    } else if hop.has_tls() {
        let connect = HttpConnect::new().with(|builder| builder.node_key(node).allow_loopback(true));
        MinerPool::watch(directory, connect)
    } else {
        MinerPool::watch(directory, HttpConnect::new())
    };
    Server::bind("127.0.0.1:0")
        .await?
        .on_ready(|address| println!("ready http://{address}"))
        .serve(synapse_http::router(pool.balance(P2c::new(PeakEwma::default()))))
        .await?;
    Ok(())
}

/// Answers with deltas that are there already.
struct Ready;

#[async_trait]
impl InferenceModule for Ready {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("ready")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("m"))
            .with_streaming()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        const EVENTS: u64 = 100;
        let words = if input.request()?.params.stream { EVENTS } else { 6 };
        let deltas = (0..words).map(|_| Delta::text(" word"));
        let last = Delta::finish(FinishReason::Stop).with_usage(Usage {
            input_tokens: 9,
            output_tokens: words,
        });
        Ok(Output::new(Body::from_deltas(deltas.chain([last]))))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}
