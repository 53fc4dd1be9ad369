//! A container as a module.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use synapse_container::{ContainerSpec, ModuleSocket, Runtime, Usage};
use synapse_core::{
    Chunk, Ending, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, Tap,
    async_trait,
};
use synapse_http::OpenAiModule;
use tokio::sync::{oneshot, watch};

use super::keeper::{Keeper, Order};

/// A container that runs an image, as a module. Dropped without [`shutdown`](InferenceModule::shutdown) it is ended at once.
pub struct ContainerModule {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
}

/// How a container is run as a module.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    pub(super) runtime: Runtime,
    pub(super) spec: ContainerSpec,
    pub(super) number: u32,
    pub(super) ready_within: Duration,
    pub(super) patience: Duration,
}

/// What the module and its keeper share.
pub(super) struct Shared {
    pub(super) image: String,
    pub(super) number: u32,
    pub(super) state: watch::Sender<State>,
    pub(super) in_flight: watch::Sender<usize>,
    pub(super) restarts: AtomicU64,
}

/// How a container is.
#[derive(Clone)]
pub(super) enum State {
    /// Not there, for this reason.
    Down(Error),
    /// Answering.
    Up(Arc<Up>),
    /// Ended and removed, or not.
    Ended(Result<(), Error>),
}

/// A container that answers.
pub(super) struct Up {
    pub(super) module: OpenAiModule,
    /// Held for as long as the module connects to it.
    pub(super) _socket: ModuleSocket,
    pub(super) usage: watch::Sender<Usage>,
}

/// A request that is being answered.
struct InFlight(Arc<Shared>);

impl Builder {
    /// Which replica of its kind it is; part of its name. 0 unless set.
    pub fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// How long it may take until it is ready: what loading its model takes, and some. 2 minutes unless set.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// How long requests under way, and then the container itself, may take to end at a shutdown. 30 s unless set.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Starts the container and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not become ready, as [`container`](super) lists it. Nothing of it is left then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<ContainerModule, Error> {
        let image = self.spec.image().to_owned();
        let starting = Error::unavailable(
            "container_starting",
            format!("the container of {image} is being started"),
        );
        let shared = Arc::new(Shared {
            image,
            number: self.number,
            state: watch::Sender::new(State::Down(starting)),
            in_flight: watch::Sender::new(0),
            restarts: AtomicU64::new(0),
        });
        let (orders, taken) = watch::channel(Order::Run);
        let (told, ready) = oneshot::channel();
        let keeper = Keeper::new(self, shared.clone(), taken);
        tokio::spawn(keeper.run(told));
        let module = ContainerModule { shared, orders };
        match ready.await {
            Ok(Ok(())) => Ok(module),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::internal(
                "container_keeper_ended",
                "whoever looks after the container ended",
            )),
        }
    }
}

impl ContainerModule {
    /// `spec` as a module, run by `runtime`.
    pub fn builder(runtime: Runtime, spec: ContainerSpec) -> Builder {
        Builder {
            runtime,
            spec,
            number: 0,
            ready_within: Duration::from_secs(120),
            patience: Duration::from_secs(30),
        }
    }

    fn up(&self) -> Result<Arc<Up>, Error> {
        match &*self.shared.state.borrow() {
            State::Up(up) => Ok(up.clone()),
            State::Down(why) => Err(why.clone()),
            State::Ended(_) => Err(Error::unavailable("shut_down", "the container was shut down")),
        }
    }
}

#[async_trait]
impl InferenceModule for ContainerModule {
    async fn initialize(&self) -> Result<(), Error> {
        self.up()?.module.initialize().await
    }

    async fn health_check(&self) -> Result<Health, Error> {
        match self.up() {
            Ok(up) => up.module.health_check().await,
            Err(why) => Ok(Health::unhealthy(why.to_string())),
        }
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        match self.up() {
            Ok(up) => up.module.get_capabilities(),
            Err(_) => ModuleCapabilities::new(self.shared.image.clone()),
        }
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let in_flight = InFlight::begin(&self.shared);
        let mut output = self.up()?.module.run_inference(input).await?;
        output.body.tap(in_flight);
        Ok(output)
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric past 2^53 may be off by one")]
    fn get_metrics(&self) -> MetricsData {
        let mut metrics = MetricsData::default();
        let number = self.shared.number.to_string();
        let labels = [("replica", number.as_str())];
        metrics.counter_of("container.restarts", &labels, self.shared.restarts.load(Relaxed));
        if let Ok(up) = self.up() {
            metrics.merge(&up.module.get_metrics());
            let usage = *up.usage.borrow();
            metrics.gauge_of("container.memory_bytes", &labels, usage.memory as f64);
            metrics.gauge_of("container.memory_limit_bytes", &labels, usage.memory_limit as f64);
            metrics.gauge_of("container.cpu_seconds", &labels, usage.cpu.as_secs_f64());
            metrics.gauge_of("container.processes", &labels, usage.processes as f64);
        }
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        self.orders.send_replace(Order::Stop);
        let mut state = self.shared.state.subscribe();
        let ended = state.wait_for(|state| matches!(state, State::Ended(_))).await;
        match ended.as_deref() {
            Ok(State::Ended(result)) => result.clone(),
            _ => Ok(()),
        }
    }
}

impl InFlight {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.in_flight.send_modify(|count| *count += 1);
        Self(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|count| *count -= 1);
    }
}

/// Nothing is looked at: it ends with the body.
impl Tap for InFlight {
    fn on_chunk(&mut self, _: &Chunk) {}

    fn on_end(&mut self, _: &Ending) {}
}

impl fmt::Debug for ContainerModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerModule")
            .field("image", &self.shared.image)
            .field("number", &self.shared.number)
            .finish_non_exhaustive()
    }
}
