//! Doing what the policy says.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use synapse_core::Error;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Budget, Loader, ResidencyPolicy, Step, shelf::Shelf};

/// How often it is looked what is loaded.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Waits for what is loaded to be told, for a model to leave, and for one to load.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
const UNLOAD_WITHIN: Duration = Duration::from_secs(60);
const LOAD_WITHIN: Duration = Duration::from_secs(600);

/// The task that loads and unloads, and the way to end it. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it, and waits until it has.
    pub(super) async fn end(&mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Keeper {
    pub(super) shelf: Arc<Shelf>,
    pub(super) loader: Arc<dyn Loader>,
    pub(super) policy: ResidencyPolicy,
    pub(super) budget: Budget,
}

impl Keeper {
    pub(super) fn start(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        Running {
            stop,
            task: tokio::spawn(self.run(stopped)),
        }
    }

    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.shelf.changed.subscribe();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keeping = async {
            loop {
                tokio::select! {
                    _ = looks.tick() => self.look().await,
                    // The shelf outlives this task, and never closes its side.
                    _ = changed.changed() => {}
                }
                changed.mark_unchanged();
                while let Some(step) = self.next() {
                    if !self.take(step).await {
                        break;
                    }
                }
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = keeping => {}
        }
    }

    /// Sees what is loaded: an engine may have done that by itself.
    pub(super) async fn look(&self) {
        match within("told what is loaded", LOOK_WITHIN, self.loader.loaded()).await {
            Ok(loaded) => self.shelf.see(&loaded),
            Err(error) => tracing::warn!(%error, "it cannot be told which models are loaded"),
        }
    }

    pub(super) fn next(&self) -> Option<Step> {
        let (demand, resident) = self.shelf.demand();
        self.policy.next(self.budget.now(resident)?, &demand)
    }

    /// Does it. Says whether anything came of it.
    pub(super) async fn take(&self, step: Step) -> bool {
        for at in step.unload {
            if !self.shelf.begin_unload(at) {
                return false;
            }
            let model = self.shelf.id(at);
            let unloaded = within("unloaded", UNLOAD_WITHIN, self.loader.unload(&model)).await;
            self.shelf.end_unload(at, unloaded.is_ok());
            match unloaded {
                Ok(()) => tracing::info!(model, "a model was unloaded"),
                Err(error) => {
                    tracing::warn!(model, %error, "a model was not unloaded");
                    return false;
                }
            }
        }
        let Some(at) = step.load else { return true };
        let (model, began) = (self.shelf.id(at), Instant::now());
        let loaded = within("loaded", LOAD_WITHIN, self.loader.load(&model)).await;
        let took = began.elapsed();
        match &loaded {
            Ok(()) => tracing::info!(model, ?took, "a model was loaded"),
            Err(error) => tracing::warn!(model, %error, "a model was not loaded"),
        }
        self.shelf.end_load(at, took, loaded);
        true
    }
}

async fn within<T>(
    what: &'static str,
    limit: Duration,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // A panic of an author's code is one more failure.
    let doing = AssertUnwindSafe(doing)
        .catch_unwind()
        .map(|ended| ended.unwrap_or_else(|payload| Err(Error::from_panic(&*payload))));
    timeout(limit, doing).await.unwrap_or_else(|_| {
        let message = format!("the engine has not {what} within {limit:?}");
        Err(Error::unavailable("loader_slow", message).with_hint("see the engine's log"))
    })
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
