//! The module that answers through a supervised engine.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use synapse_core::{
    Body, Capacity, Chunk, Error, ErrorKind, Health, InferenceModule, Input, MetricsData, ModuleCapabilities,
    Output, async_trait,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{EngineDeath, EnginePhase, EngineSpec, EngineStatus, Supervisor, status::Run, traffic::InFlight};

/// How long an engine that answers may take until its module does.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the cause of a broken reply is waited for.
const CAUSE: Duration = Duration::from_secs(1);
/// How often an engine that answers its probe, and not the module, is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest wait for a module of a run that is over to let go.
const LET_GO: Duration = Duration::from_secs(5);

/// An engine under supervision as a module: each time that it comes up, a module is made for where it answers now, and
/// requests go through that one.
///
/// * While it is down or starting, requests are refused at once, with `engine_down` or `engine_starting` and when to come
///   again; somebody else may answer.
/// * Requests under way when it dies end with `engine_died`, which says what happened; the error's source has what the
///   engine wrote last.
/// * It claims what the last module claimed, also while the engine is down: its health says that.
///
/// A clone shares everything. [`shutdown`](InferenceModule::shutdown) ends the engine, and so does dropping the last clone.
#[derive(Clone)]
pub struct Supervised<M> {
    supervisor: Supervisor,
    place: Arc<Place<M>>,
    _follower: Arc<Follower>,
}

/// The module of the last run, and which run that is.
struct Place<M>(watch::Sender<Option<Placed<M>>>, RwLock<Option<Error>>);

struct Placed<M> {
    module: Arc<M>,
    run: Run,
}

impl<M> Clone for Placed<M> {
    fn clone(&self) -> Self {
        Self {
            module: self.module.clone(),
            run: self.run.clone(),
        }
    }
}

/// Makes the modules, until it is dropped.
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<M: InferenceModule> Supervised<M> {
    /// Starts an engine, and makes a module by `module` for its URL (`http://127.0.0.1:PORT`) each time that it comes up,
    /// which is then initialised. Where either fails it is tried again for as long as the engine answers.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub fn start<F, Fut>(spec: EngineSpec, module: F) -> Result<Self, Error>
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, Error>> + Send + 'static,
    {
        let supervisor = Supervisor::start(spec)?;
        let place = Arc::new(Place(watch::Sender::new(None), RwLock::new(None)));
        let status = supervisor.0.shared.status.subscribe();
        let follower = tokio::spawn(follow(status, place.clone(), module));
        Ok(Self {
            supervisor,
            place,
            _follower: Arc::new(Follower(follower)),
        })
    }

    /// What keeps its engine running.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// The module of the run that answers now.
    fn module(&self, status: &EngineStatus) -> Option<Placed<M>> {
        let run = status
            .run
            .as_ref()
            .filter(|_| status.phase == EnginePhase::Ready)?;
        let placed = self.place.0.borrow().clone()?;
        (placed.run.is(run) && !run.is_over()).then_some(placed)
    }
}

/// Makes a module of each run.
async fn follow<M, F, Fut>(mut status: watch::Receiver<EngineStatus>, place: Arc<Place<M>>, make: F)
where
    M: InferenceModule,
    F: Fn(String) -> Fut + Send + Sync,
    Fut: Future<Output = Result<M, Error>> + Send,
{
    loop {
        let run = status.wait_for(|status| status.run.as_ref().is_some_and(|run| !run.is_over()));
        let Some(mut run) = run.await.ok().and_then(|status| status.run.clone()) else {
            return;
        };
        let url = format!("http://{}", run.address);
        let made = async {
            loop {
                let made = guarded(async {
                    let module = make(url.clone()).await?;
                    module.initialize().await?;
                    Ok(module)
                });
                match made.await {
                    Ok(module) => return module,
                    Err(error) => place.trouble(Some(error)),
                }
                sleep(AGAIN).await;
            }
        };
        let module = tokio::select! {
            module = made => module,
            _ = run.over() => continue,
        };
        place.trouble(None);
        let placed = Placed {
            module: Arc::new(module),
            run: run.clone(),
        };
        let before = place.0.send_replace(Some(placed));
        if let Some(before) = before {
            let _ = timeout(LET_GO, guarded(before.module.shutdown())).await;
        }
        run.over().await;
    }
}

/// What `work` comes to; a panic of it must not end the making of modules for good.
async fn guarded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|payload| Err(Error::from_panic(&*payload)))
}

impl<M> Place<M> {
    /// Why there is no module although the engine answers.
    fn trouble(&self, error: Option<Error>) {
        *self.1.write().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

#[async_trait]
impl<M: InferenceModule> InferenceModule for Supervised<M> {
    /// Waits until the engine answers, for as long as its start may take, and its module with it, which has 30 s more.
    async fn initialize(&self) -> Result<(), Error> {
        self.supervisor.ready().await?;
        let mut placed = self.place.0.subscribe();
        let made = placed.wait_for(|placed| placed.as_ref().is_some_and(|placed| !placed.run.is_over()));
        if let Ok(Ok(_)) = timeout(PATIENCE, made).await {
            return Ok(());
        }
        let trouble = self
            .place
            .1
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Err(trouble.unwrap_or_else(|| self.supervisor.status().refusal()))
    }

    async fn health_check(&self) -> Result<Health, Error> {
        let status = self.supervisor.status();
        let Some(placed) = self.module(&status) else {
            return Ok(Health::unhealthy(self.why_not(&status)).since(status.since));
        };
        let health = placed.module.health_check().await?;
        Ok(match self.capacity(&status) {
            Some(capacity) => health.worse(Health::ready().with_capacity(capacity)),
            None => health,
        })
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let placed = self.place.0.borrow().clone();
        placed.map_or_else(
            || ModuleCapabilities::new(self.supervisor.0.spec.name.to_string()),
            |placed| placed.module.get_capabilities(),
        )
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        let status = self.supervisor.status();
        let Some(Placed { module, mut run }) = self.module(&status) else {
            return Err(status.refusal());
        };
        let in_flight = self.supervisor.0.shared.traffic.begin();
        let awaited = in_flight.awaits();
        let answer = tokio::select! {
            biased;
            answer = module.run_inference(input) => answer,
            death = run.over() => return Err(died(death.as_deref())),
        };
        drop(awaited);
        match answer {
            Ok(output) => Ok(output.map_body(|body| body.wrap(|body| watched(body, run, in_flight)))),
            Err(error) => Err(explained(&mut run, error).await),
        }
    }

    fn get_metrics(&self) -> MetricsData {
        let placed = self.place.0.borrow().clone();
        let mut metrics = placed.map_or_else(MetricsData::default, |placed| placed.module.get_metrics());
        self.supervisor.report(&mut metrics);
        metrics
    }

    async fn shutdown(&self) -> Result<(), Error> {
        let placed = self.place.0.borrow().clone();
        let ended = match placed {
            Some(placed) => placed.module.shutdown().await,
            None => Ok(()),
        };
        self.supervisor.stop().await;
        ended
    }
}

impl<M: InferenceModule> Supervised<M> {
    fn why_not(&self, status: &EngineStatus) -> String {
        let name = &status.engine;
        match (status.phase, &status.last_death) {
            // Where things are on this machine is for its operator, who is told.
            (EnginePhase::Down, Some(death)) if death.not_begun => {
                format!("{name} cannot be started ({})", death.code)
            }
            (EnginePhase::Down, Some(death)) if status.crash_loop => {
                format!(
                    "{name} died too often, and stays down; the last time it {}",
                    death.what
                )
            }
            (EnginePhase::Down, Some(death)) => format!("{name} {}", death.what),
            (EnginePhase::Ready, _) => {
                let trouble = self.place.1.read().unwrap_or_else(PoisonError::into_inner);
                match &*trouble {
                    Some(error) => format!("{name} answers, but cannot be used: {}", error.message()),
                    None => format!("{name} has only just come up"),
                }
            }
            _ => status.refusal().message().to_owned(),
        }
    }

    fn capacity(&self, status: &EngineStatus) -> Option<Capacity> {
        let load = status.load.as_ref().map(|(_, load)| load);
        let slots = load
            .and_then(|load| load.slots)
            .or(self.supervisor.0.spec.slots)?;
        let ours = u32::try_from(self.supervisor.0.shared.traffic.in_flight()).unwrap_or(u32::MAX);
        let busy = load.and_then(|load| load.busy).unwrap_or(0).max(ours);
        let waiting = load
            .and_then(|load| load.waiting)
            .unwrap_or_else(|| busy.saturating_sub(slots));
        Some(Capacity::new(slots, busy.min(slots)).with_waiting(waiting))
    }
}

/// `body`, which ends with the engine's fate where that is what ends it.
fn watched(body: Body, run: Run, in_flight: InFlight) -> impl Stream<Item = Result<Chunk, Error>> + Send {
    stream::unfold(Some((body, run, in_flight)), |state| async move {
        let (mut body, mut run, in_flight) = state?;
        let awaited = in_flight.awaits();
        let next = tokio::select! {
            biased;
            next = body.next() => next?,
            death = run.over() => return Some((Err(died(death.as_deref())), None)),
        };
        drop(awaited);
        match next {
            Ok(chunk) => Some((Ok(chunk), Some((body, run, in_flight)))),
            Err(error) => Some((Err(explained(&mut run, error).await), None)),
        }
    })
}

/// `error`, or that the engine died where that is what it comes from.
async fn explained(run: &mut Run, error: Error) -> Error {
    let broke_off = error.kind() == ErrorKind::Broken
        || matches!(error.code(), "connect_failed" | "unreachable" | "no_reply");
    if !broke_off {
        return error;
    }
    match timeout(CAUSE, run.over()).await {
        Ok(death) => died(death.as_deref()),
        Err(_) => error,
    }
}

fn died(death: Option<&EngineDeath>) -> Error {
    let broken = |message: String| Error::broken("engine_died", message);
    match death {
        Some(death) => {
            let what = format!("{} {} while it answered", death.engine, death.what);
            broken(what).with_source(death.clone())
        }
        None => broken("the engine was let go while it answered".to_owned()),
    }
}

impl<M> fmt::Debug for Supervised<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised")
            .field("supervisor", &self.supervisor)
            .finish_non_exhaustive()
    }
}
