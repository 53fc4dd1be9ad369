//! The miner's own stack, for as long as it is looked at.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use synapse_core::{
    BlockNumber, Directory, Error, ErrorKind, Health, HealthStatus, InferenceModule, Input, Member,
    MetricsData, ModuleCapabilities, Output, Role, Watch, async_trait, keys::Signer,
};
use synapse_http::{Server, Verifier, tls::ServerTls};
use tokio::{sync::oneshot, time::timeout};

use super::{Check, Preflight, Report};

/// How long an engine may take to start.
const STARTING: Duration = Duration::from_secs(300);
/// How long it may take to say how it is.
const LOOKING: Duration = Duration::from_secs(5);
/// How long what is under way may take once all is seen.
const DRAIN: Duration = Duration::from_secs(2);

/// What to serve, and how.
pub(super) struct Host {
    listen: String,
    module: Arc<dyn InferenceModule>,
}

/// What is served here now.
pub(super) struct Own {
    /// The engine, where it works.
    pub(super) engine: Option<Arc<dyn InferenceModule>>,
    /// Where it listens, and whether with TLS; `None` where it could not.
    pub(super) at: Option<(SocketAddr, bool)>,
}

impl Host {
    pub(super) fn new(listen: String, module: Arc<dyn InferenceModule>) -> Self {
        Self { listen, module }
    }

    /// Serves while the rest is looked at.
    pub(super) async fn run(
        self,
        tls: Option<ServerTls>,
        preflight: &Preflight,
        caller: Arc<dyn Signer>,
        report: &mut Report,
    ) {
        let engine = start(&self.module, report).await;
        let server = match Server::bind(&self.listen).await {
            Ok(server) => server,
            Err(error) => return self.without_port(engine, &error, preflight, caller, report).await,
        };
        let address = server.local_addr();
        let has_tls = tls.is_some();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel::<()>();
        let server = server
            .allow_plain_http(preflight.may_serve_plain)
            .drain_timeout(DRAIN)
            .shutdown_timeout(LOOKING)
            .on_ready(move |_| {
                let _ = ready.send(());
            })
            .shutdown(async {
                let _ = stopped.await;
            });
        let server = match tls {
            Some(tls) => server.tls(tls),
            None => server,
        };
        let member = Member::new(caller.address().clone(), Role::Validator);
        let directory = Watch::constant(Directory::new([member], BlockNumber::default()));
        let verifier = Verifier::new(preflight.node.clone(), directory).clock(preflight.dial.clock.clone());
        // A door without an engine can still be looked at.
        let behind = engine.clone().unwrap_or_else(|| Arc::new(StandIn));
        let mut serving = Box::pin(server.serve(synapse_http::router(behind).signed(verifier)));
        tokio::select! {
            Ok(()) = is_ready => {}
            served = &mut serving => {
                let early = || Error::internal("ended_early", "the server ended before it was ready");
                let why = served.err().unwrap_or_else(early);
                return self.without_port(engine, &why, preflight, caller, report).await;
            }
        }
        report.add(Check::passed("port", format!("listens on {address}")));
        let own = Own {
            engine,
            at: Some((address, has_tls)),
        };
        let looking = async {
            preflight.visit(caller, Some(&own), report).await;
            drop(stop);
        };
        let (served, ()) = tokio::join!(serving, Box::pin(looking));
        if let Err(error) = served {
            report.add(Check::warning(
                "shutdown",
                format!("the engine did not end well: {error}"),
            ));
        }
    }

    /// Looks at the rest where nothing can be served.
    async fn without_port(
        &self,
        engine: Option<Arc<dyn InferenceModule>>,
        why: &Error,
        preflight: &Preflight,
        caller: Arc<dyn Signer>,
        report: &mut Report,
    ) {
        report.add(Check::of("port", why));
        let own = Own { engine, at: None };
        Box::pin(preflight.visit(caller, Some(&own), report)).await;
        if own.engine.is_some() {
            let _ = timeout(LOOKING, self.module.shutdown()).await;
        }
    }
}

/// Starts the engine and asks how it is.
async fn start(module: &Arc<dyn InferenceModule>, report: &mut Report) -> Option<Arc<dyn InferenceModule>> {
    let check = match look(module).await {
        Ok(health) => match health.status() {
            HealthStatus::Ready => Check::passed("engine", "the engine starts, and is ready"),
            HealthStatus::Degraded => {
                Check::warning("engine", format!("the engine is degraded: {}", why(&health)))
            }
            _ => Check::failed("engine", format!("the engine is not healthy: {}", why(&health)))
                .hint("a node whose engine is not healthy is not asked: look at the engine's own log"),
        },
        Err(error) => {
            report.add(Check::of("engine", &error));
            return None;
        }
    };
    report.add(check);
    Some(module.clone())
}

async fn look(module: &Arc<dyn InferenceModule>) -> Result<Health, Error> {
    let late = |what: &str, limit: Duration| {
        Error::new(
            ErrorKind::Timeout,
            "engine_timeout",
            format!("the engine did not {what} within {limit:?}"),
        )
    };
    timeout(STARTING, module.initialize())
        .await
        .map_err(|_| late("start", STARTING))??;
    timeout(LOOKING, module.health_check())
        .await
        .map_err(|_| late("say how it is", LOOKING))?
}

fn why(health: &Health) -> &str {
    health.reason().unwrap_or("it does not say why")
}

/// What stands behind the door where no engine does.
struct StandIn;

#[async_trait]
impl InferenceModule for StandIn {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::unhealthy("the engine did not start"))
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("none")
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(Error::unavailable("no_engine", "the engine did not start"))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
