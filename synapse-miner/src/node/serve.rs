//! What a miner serves with.

use std::{future::pending, net::SocketAddr, sync::Arc};

use synapse_core::{Endpoint, Error, InferenceModule, Role, Subnet, keys::Signer};
use synapse_http::{Api, Server, Verifier, tls::NodeTls};

use super::builder::{Door, Settings};
use crate::claimed::Claimed;

/// A server that listens, and what it will serve.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) server: Server,
    pub(super) api: Api,
    pub(super) metrics: Option<Server>,
    /// Where it is found unless the operator says otherwise.
    pub(super) endpoint: Result<Endpoint, Error>,
}

impl Front {
    /// Listens; `None` where the program serves by itself. The module is asked by validators of the subnet alone, once it is
    /// initialised and the subnet known.
    pub(super) async fn open(
        settings: &mut Settings,
        module: impl InferenceModule,
        subnet: &Arc<dyn Subnet>,
        hotkey: &Arc<dyn Signer>,
    ) -> Result<Option<Self>, Error> {
        let server = match std::mem::replace(&mut settings.door, Door::Elsewhere) {
            Door::Elsewhere => return Ok(None),
            Door::Server(server) => *server,
            Door::Address(address) => Server::bind(address).await?,
        };
        let endpoint = endpoint(settings.plain_http, server.local_addr());
        let server = if settings.plain_http {
            server
        } else {
            server.tls(NodeTls::new(hotkey.clone()).await?)
        };
        let verifier = Verifier::new(hotkey.address().clone(), subnet.directory())
            .callers([Role::Validator])
            .min_stake(settings.least_stake);
        let verifier = std::mem::replace(&mut settings.verifier, Box::new(|verifier| verifier))(verifier);
        let known = subnet.clone();
        let api = synapse_http::router(Claimed(module))
            .signed(verifier)
            .ready_when(settings.waits_for.clone(), async move { known.synced().await });
        let api = std::mem::replace(&mut settings.api, Box::new(|api| api))(api);
        Ok(Some(Self {
            server,
            api,
            metrics: settings.metrics.take(),
            endpoint,
        }))
    }

    /// Serves until `stop`, and tells when it is ready and when it drains.
    pub(super) async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
        ready: impl FnOnce(SocketAddr) + Send + 'static,
        draining: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let metrics = self.api.metrics_router();
        let beside = async {
            match self.metrics {
                // It ends with the node's own.
                Some(server) => {
                    server
                        .allow_plain_http(false)
                        .shutdown(pending())
                        .serve(metrics)
                        .await
                }
                None => pending().await,
            }
        };
        let serving = self
            .server
            .shutdown(stop)
            .on_ready(ready)
            .on_draining(draining)
            .serve(self.api);
        tokio::select! {
            served = serving => served,
            Err(error) = beside => Err(error),
        }
    }
}

fn endpoint(plain_http: bool, address: SocketAddr) -> Result<Endpoint, Error> {
    if address.ip().is_unspecified() {
        return Err(Error::invalid(
            "no_address",
            format!("{address} is every address of this machine, and none that validators could ask"),
        )
        .with_hint("say where they reach it: https://host:port"));
    }
    let scheme = if plain_http { "http" } else { "https" };
    Endpoint::http(&format!("{scheme}://{address}"))
}
