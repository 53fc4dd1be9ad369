//! The six miners: keys, servers, and their places in the subnet.

use std::{sync::Arc, time::Duration};

use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Endpoint, Error, NodeId, Role, Stake, Subnet,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::{Server, Verifier, tls::NodeTls};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{Behaviour, Engine};

/// A miner that is being served.
pub(crate) struct Miner {
    pub(crate) behaviour: Behaviour,
    pub(crate) node: NodeId,
    engine: Engine,
    key: Arc<Keypair>,
    /// Signs with the miner's key.
    subnet: LocalSubnet,
    endpoint: Endpoint,
    listed: bool,
}

impl Miner {
    /// Serves it until `stop`, and makes it a member of the subnet.
    pub(crate) async fn start(
        behaviour: Behaviour,
        pause: Duration,
        chain: &LocalChain,
        subnet: &LocalSubnet,
        servers: &mut JoinSet<Result<(), Error>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let key = Arc::new(Keypair::generate(Scheme::Sr25519)?);
        let node = key.address().clone();
        let engine = Engine::new(behaviour, pause);
        let verifier = Verifier::new(node.clone(), subnet.directory()).callers([Role::Validator]);
        let (ready, is_ready) = oneshot::channel();
        let server = Server::bind("127.0.0.1:0")
            .await?
            .tls(NodeTls::new(key.clone()).await?)
            .on_ready(|address| {
                let _ = ready.send(address);
            })
            .shutdown(async move {
                let _ = stop.wait_for(|stop| *stop).await;
            });
        servers.spawn(server.serve(synapse_http::router(engine.clone()).signed(verifier)));
        let address = is_ready
            .await
            .map_err(|_| Error::internal("miner_ended", "a miner ended before it was ready"))?;
        chain.fund(&node, Stake(1_000))?;
        let mut miner = Self {
            behaviour,
            node,
            engine,
            subnet: subnet.with_signer(key.clone()),
            key,
            endpoint: Endpoint::http(&format!("https://{address}"))?,
            listed: false,
        };
        miner.join().await?;
        Ok(miner)
    }

    /// Behaves as its kind does in this epoch.
    pub(crate) async fn turn(&mut self, epoch: u64) -> Result<(), Error> {
        let misbehaves = self.behaviour.misbehaves_in(epoch);
        self.engine.set_misbehaving(misbehaves);
        if self.behaviour == Behaviour::Leaving && misbehaves && self.listed {
            self.listed = false;
            return self.subnet.leave(&self.node).await;
        }
        if !misbehaves && !self.listed {
            return self.join().await;
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Error> {
        self.subnet
            .register_node(&*self.key, Role::Miner, Stake(100))
            .await?;
        self.subnet
            .serve(&self.node, self.endpoint.clone().into())
            .await?;
        self.listed = true;
        Ok(())
    }
}
