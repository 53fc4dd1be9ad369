//! Servers on loopback that end when they are told to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synapse_chain::LocalChain;
use synapse_core::{
    Endpoint, Error, InferenceModule, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams,
};
use synapse_http::{HttpConnect, Server};
use synapse_validator::{MinerPool, P2c, PeakEwma};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A module that is being served.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

/// Serves an API on a free port of loopback; it is ready when this returns.
///
/// # Errors
/// Where there is no free port, or the module does not initialise.
///
/// # Panics
/// Where the server panicked.
pub async fn serve(api: impl Into<synapse_http::Api>) -> Result<Serving, Error> {
    serve_with(api, |server| server).await
}

/// The same, with what `set` sets.
///
/// # Errors
/// As [`serve`].
///
/// # Panics
/// As [`serve`].
pub async fn serve_with(
    api: impl Into<synapse_http::Api>,
    set: impl FnOnce(Server) -> Server,
) -> Result<Serving, Error> {
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    let server = set(Server::bind("127.0.0.1:0").await?)
        .drain_timeout(Duration::from_secs(5))
        .on_ready(move |_| {
            let _ = ready.send(());
        })
        .shutdown(async move {
            let _ = stopped.await;
        });
    let address = server.local_addr();
    let task = tokio::spawn(server.serve(api.into()));
    match is_ready.await {
        Ok(()) => Ok(Serving { address, stop, task }),
        // It ended before it was ready, and says why.
        Err(_) => Err(task
            .await
            .expect("the server does not panic")
            .expect_err("a server that was not told to stop")),
    }
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it, and waits until it is drained.
    ///
    /// # Errors
    /// What its shutdown said.
    ///
    /// # Panics
    /// Where the server panicked.
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        self.task.await.expect("the server does not panic")
    }
}

/// A subnet in a chain, with miners that are served over HTTP, and a pool that follows it.
#[derive(Debug)]
pub struct Gateway {
    miners: Vec<Serving>,
    pool: Arc<MinerPool>,
}

impl Gateway {
    /// A pool over these miners; it is ready when this returns.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn over(miners: Vec<Serving>) -> Result<Self, Error> {
        let chain = LocalChain::in_memory();
        chain.create_subnet(SubnetId(7), SubnetParams::default())?;
        let subnet = chain.subnet(SubnetId(7)).await?;
        for (at, miner) in miners.iter().enumerate() {
            let node = NodeId::from(format!("miner-{}", at + 1));
            chain.fund(&node, Stake(100))?;
            subnet
                .register(Registration::new(node.as_str(), Role::Miner, Stake(10)))
                .await?;
            subnet.serve(&node, Endpoint::http(&miner.url())?.into()).await?;
        }
        let pool =
            MinerPool::watch(subnet.directory(), HttpConnect::new()).balance(P2c::new(PeakEwma::default()));
        pool.initialize().await?;
        let until = Instant::now() + Duration::from_secs(10);
        while !pool.health_check().await?.is_serving() && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self {
            miners,
            pool: Arc::new(pool),
        })
    }

    /// The pool, to put layers around.
    #[must_use]
    pub fn pool(&self) -> Arc<MinerPool> {
        self.pool.clone()
    }

    /// Stops the pool and the miners.
    ///
    /// # Errors
    /// What their shutdown said.
    pub async fn stop(self) -> Result<(), Error> {
        self.pool.shutdown().await?;
        for miner in self.miners {
            miner.stop().await?;
        }
        Ok(())
    }
}
