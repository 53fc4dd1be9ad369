//! A miner as an operator runs one, and a validator's way to it.

use std::sync::Arc;

use synapse_core::{
    Connect as _, Directory, Endpoint, Error, InferenceModule, Member, ModuleExt as _, Role, Watch,
    keys::{Keypair, Scheme, Signer as _},
};
use synapse_http::{OpenAiModule, Server, SignedHttp, Verifier, tls::NodeTls};
use synapse_miner::QueueLayer;

use crate::Fault;

pub(crate) fn key(name: &str) -> Result<Keypair, Error> {
    Keypair::from_uri(Scheme::Sr25519, name)
}

/// Signed requests over TLS, a queue, and the engine at this port.
pub(crate) async fn miner(engine: u16) -> Result<(), Fault> {
    let (validator, own) = (key("//Alice")?, key("//Bob")?);
    let module = OpenAiModule::connect(&format!("http://127.0.0.1:{engine}")).await?;
    let queue = QueueLayer::bounded(64).concurrency(16);
    let stack = module.with(queue.clone()).attach(queue);
    let caller = Member::new(validator.address().clone(), Role::Validator);
    let directory = Watch::constant(Directory::new([caller], Default::default()));
    let verifier = Verifier::new(own.address().clone(), directory);
    Server::bind("127.0.0.1:0")
        .await?
        .tls(NodeTls::new(own).await?)
        .on_ready(|address| println!("ready https://{address}"))
        .serve(synapse_http::router(stack).signed(verifier))
        .await?;
    Ok(())
}

/// The miner at this port, as the validator with this key asks it.
pub(crate) fn to_miner(port: u16, validator: &str) -> Result<Arc<dyn InferenceModule>, Fault> {
    let connect = SignedHttp::new(key(validator)?).with(|builder| builder.allow_loopback(true));
    let member = Member::new(key("//Bob")?.address().clone(), Role::Miner)
        .with_endpoint(Endpoint::http(&format!("https://127.0.0.1:{port}"))?);
    Ok(connect.connect(&member)?)
}

/// The engine at this port, asked by the same client.
pub(crate) fn to_engine(port: u16) -> Result<Arc<dyn InferenceModule>, Fault> {
    Ok(Arc::new(
        OpenAiModule::builder(format!("http://127.0.0.1:{port}")).build()?,
    ))
}
