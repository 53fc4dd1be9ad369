//! A chain over HTTP: the same as in one process, and what is refused.

mod behaviour;
mod bounds;
mod follows;
#[cfg(feature = "failpoints")]
mod halts;
mod history;
mod proxies;
mod refusals;
mod trust;
mod watches;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synapse_chain::{LocalChain, remote::ChainApi};
use synapse_core::{
    Stake, SubnetId, SubnetParams,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::Server;
use tokio::{sync::oneshot, task::JoinHandle};

/// A chain that is served, until this value is dropped.
struct Served {
    chain: LocalChain,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    /// Serves a chain with subnet 7, where `//Alice` and `//Bob` have funds, as `api` says.
    async fn new(api: impl FnOnce(ChainApi) -> ChainApi) -> Self {
        let chain = LocalChain::builder()
            .block_time(Duration::from_millis(5))
            .build()
            .unwrap();
        Self::of(chain, api).await
    }

    async fn of(chain: LocalChain, api: impl FnOnce(ChainApi) -> ChainApi) -> Self {
        equip(&chain);
        Self::at("127.0.0.1:0", chain, |server| server, api).await
    }

    /// Serves a chain as it is, as `server` and `api` say.
    async fn at(
        address: &str,
        chain: LocalChain,
        server: impl FnOnce(Server) -> Server,
        api: impl FnOnce(ChainApi) -> ChainApi,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let server = server(Server::bind(address).await.unwrap()).shutdown(stopped);
        let address = server.local_addr();
        let api = api(ChainApi::new(chain.clone()));
        let serving = tokio::spawn(async move {
            let _ = server.drain_timeout(Duration::from_millis(50)).serve(api).await;
        });
        Self {
            chain,
            address,
            stop,
            serving,
        }
    }

    /// Ends the server, and gives its address to another.
    async fn end(self) -> String {
        let address = self.address.to_string();
        drop(self.stop);
        self.serving.await.unwrap();
        address
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn connect(&self) -> LocalChain {
        LocalChain::connect(&self.url()).await.unwrap()
    }
}

/// Gives a chain subnet 7 with short epochs, and two keys some funds.
fn equip(chain: &LocalChain) {
    let params = SubnetParams::default()
        .with_epochs(40, 30)
        .with_min_stakes(Stake(10), Stake(50));
    chain.create_subnet(SubnetId(7), params).unwrap();
    for account in ["//Alice", "//Bob"] {
        chain.fund(key(account).address(), Stake(10_000)).unwrap();
    }
}

fn key(uri: &str) -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Sr25519, uri).unwrap())
}
