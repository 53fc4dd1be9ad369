//! Who looks after a container, from its start to its removal.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use synapse_container::Container;
use synapse_core::{Error, ErrorKind, InferenceModule as _};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    module::{Builder, Shared, State, Up},
    ready::{last_lines, ready},
};

/// The first wait before a container is started again; each further one is twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A container that answered for this long starts over with the first wait.
const SETTLED: Duration = Duration::from_secs(60);
/// How often its use and whether it answers are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long it may be silent before it is ended.
const SILENT: Duration = Duration::from_secs(60);

/// What the module wants of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Run, and run again.
    Run,
    /// End in order. Whoever goes without saying so wants it to end at once.
    Stop,
}

pub(super) struct Keeper {
    terms: Builder,
    shared: Arc<Shared>,
    orders: watch::Receiver<Order>,
}

/// Why a container is not looked after any further.
enum Over {
    /// It ended, and is started again.
    Again(Error),
    /// It is to end: in order, or at once.
    Stop(Order),
}

impl Keeper {
    pub(super) fn new(terms: Builder, shared: Arc<Shared>, orders: watch::Receiver<Order>) -> Self {
        Self {
            terms,
            shared,
            orders,
        }
    }

    /// Starts the container, tells how that went, and looks after it until it is to end.
    pub(super) async fn run(mut self, told: oneshot::Sender<Result<(), Error>>) {
        let mut told = Some(told);
        let mut wait = FIRST_WAIT;
        loop {
            let started = Instant::now();
            match self.bring_up().await {
                Ok((container, up)) => {
                    self.shared.state.send_replace(State::Up(up.clone()));
                    tracing::info!(container = container.name(), image = self.shared.image, after = ?started.elapsed(), "a container is ready");
                    if let Some(told) = told.take() {
                        // Who does not wait for it any more drops the module, and that is an order.
                        told.send(Ok(())).ok();
                    }
                    self.remove_late().await;
                    let over = self.look_after(&container, &up).await;
                    match over {
                        Over::Stop(order) => return self.end(&container, &up, order).await,
                        Over::Again(why) => {
                            tracing::warn!(container = container.name(), %why, "a container is started again");
                            self.shared.restarts.fetch_add(1, Relaxed);
                            self.shared.state.send_replace(State::Down(why));
                            self.remove(&container).await;
                        }
                    }
                }
                Err(error) => {
                    if let Some(told) = told.take() {
                        self.shared.state.send_replace(State::Ended(Ok(())));
                        told.send(Err(error)).ok();
                        return;
                    }
                    tracing::warn!(image = self.shared.image, %error, again_in = ?wait, "a container does not start");
                    self.shared
                        .state
                        .send_replace(State::Down(self.restarting(error.message())));
                }
            }
            if started.elapsed() > SETTLED {
                wait = FIRST_WAIT;
            }
            tokio::select! {
                _ = ordered(&mut self.orders) => {
                    self.shared.state.send_replace(State::Ended(Ok(())));
                    return;
                }
                () = sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    /// A container that is ready; where it does not become so, nothing of it is left.
    async fn bring_up(&mut self) -> Result<(Container, Arc<Up>), Error> {
        let Builder {
            runtime,
            spec,
            number,
            ready_within,
            ..
        } = &self.terms;
        let container = runtime.start(spec, *number).await?;
        let up = tokio::select! {
            up = ready(&container, &self.shared.image, *ready_within) => up,
            _ = ordered(&mut self.orders) => {
                Err(Error::unavailable("shut_down", "the container was shut down before it was ready"))
            }
        };
        match up {
            Ok(up) => Ok((container, Arc::new(up))),
            Err(error) => {
                self.remove(&container).await;
                Err(error)
            }
        }
    }

    /// Waits until it ends, falls silent, or is to end.
    async fn look_after(&mut self, container: &Container, up: &Up) -> Over {
        let mut heard = Instant::now();
        let mut docker_away = false;
        let mut ended = std::pin::pin!(container.wait());
        loop {
            tokio::select! {
                order = ordered(&mut self.orders) => return Over::Stop(order),
                exit = &mut ended => match exit {
                    Ok(exit) => {
                        let lines = last_lines(container).await;
                        return Over::Again(self.restarting(&format!("{exit}{}", lines.told())));
                    }
                    Err(gone) if gone.kind() == ErrorKind::NotFound => {
                        return Over::Again(self.restarting(gone.message()));
                    }
                    // It may run on without its daemon, and answer.
                    Err(error) => {
                        if !docker_away {
                            tracing::warn!(container = container.name(), %error, "Docker is away; its container goes on");
                            docker_away = true;
                        }
                        sleep(FIRST_WAIT).await;
                        ended.set(container.wait());
                    }
                },
                () = sleep(LOOK) => {
                    match up.module.health_check().await {
                        Ok(_) => heard = Instant::now(),
                        Err(error) if heard.elapsed() > SILENT => {
                            return Over::Again(self.restarting(&format!("it is silent: {}", error.message())));
                        }
                        Err(_) => {}
                    }
                    if let Ok(usage) = container.usage().await {
                        up.usage.send_replace(usage);
                        docker_away = false;
                    }
                }
            }
        }
    }

    /// Lets requests under way end, then the container, and removes it.
    async fn end(self, container: &Container, up: &Up, order: Order) {
        let patience = self.terms.patience;
        let stopping = Error::unavailable("shut_down", "the container is shutting down");
        self.shared.state.send_replace(State::Down(stopping));
        if order == Order::Stop {
            let mut in_flight = self.shared.in_flight.subscribe();
            let drained = timeout(patience, in_flight.wait_for(|count| *count == 0))
                .await
                .is_ok();
            if !drained {
                tracing::warn!(
                    container = container.name(),
                    "requests were still under way when a container was stopped"
                );
            }
            up.module.shutdown().await.ok();
            if let Err(error) = container.stop(patience).await {
                tracing::warn!(container = container.name(), %error, "a container did not stop in order");
            }
        }
        let removed = container.remove().await;
        tracing::info!(container = container.name(), "a container was stopped");
        self.shared.state.send_replace(State::Ended(removed));
    }

    async fn remove(&self, container: &Container) {
        if let Err(error) = container.remove().await {
            tracing::warn!(container = container.name(), %error, "a container was left behind; the next start removes it");
        }
    }

    /// Removes what Docker made for an earlier life of this process after that was looked for: a request that it was killed
    /// over is carried out all the same.
    async fn remove_late(&self) {
        match timeout(LOOK, self.terms.runtime.reconcile()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "containers of an earlier run may be left; the next start removes them");
            }
            Err(_) => tracing::warn!(
                "Docker is slow: containers of an earlier run may be left; the next start removes them"
            ),
        }
    }

    fn restarting(&self, why: &str) -> Error {
        Error::unavailable(
            "container_restarting",
            format!(
                "the container of {} is being started again: {why}",
                self.shared.image
            ),
        )
    }
}

/// Waits for an order to end; that nobody is left to give one is one, too.
async fn ordered(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order == Order::Stop).await {
        Ok(_) => Order::Stop,
        Err(_) => Order::Run,
    }
}
