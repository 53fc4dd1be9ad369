//! Models that share a memory: what is loaded follows what is asked for. The loader is a fake that takes its time, fails
//! when told to, and panics where the memory would overflow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::StreamExt;
use synapse_core::{
    Body, Delta, Error, ErrorKind, FinishReason, HealthStatus, InferenceModule, Input, Message, ModelInfo,
    ModuleCapabilities, Output, Retry, Task, async_trait, testkit::Scripted,
};
use synapse_miner::scale::{Budget, Loader, Residency, ResidencyPolicy, Resident, SharedModel};
use tokio::time::{Instant, sleep, timeout};

const MEMORY: u64 = 10;

/// An engine with a memory of ten; each load takes ten seconds.
#[derive(Clone, Default)]
struct Engine(Arc<State>);

#[derive(Default)]
struct State {
    loaded: Mutex<BTreeMap<String, u64>>,
    log: Mutex<Vec<String>>,
    fails: AtomicU32,
    panics: AtomicU32,
    /// An unload takes this long.
    unloads_in: Mutex<Duration>,
}

fn size(model: &str) -> u64 {
    if model == "small" { 2 } else { 7 }
}

impl Engine {
    fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    fn loaded(&self) -> Vec<String> {
        self.0.loaded.lock().unwrap().keys().cloned().collect()
    }

    /// It serves what it has loaded, each request for a second, and panics where it is asked for something else.
    fn module(&self) -> Scripted {
        let engine = self.clone();
        let claims = ["small", "one", "two"].iter().fold(
            ModuleCapabilities::new("engine").with_task(Task::CHAT),
            |claims, model| claims.with_model(ModelInfo::new(*model)),
        );
        let answer = move |input: Input| {
            let engine = engine.clone();
            async move {
                let model = input.model()?.trim_end_matches(":latest").to_owned();
                assert!(
                    engine.loaded().contains(&model),
                    "{model} was asked while it was not loaded"
                );
                sleep(Duration::from_secs(1)).await;
                assert!(
                    engine.loaded().contains(&model),
                    "{model} was unloaded while it was asked"
                );
                Ok(Output::new(Body::from_deltas([
                    Delta::text("hi"),
                    Delta::finish(FinishReason::Stop),
                ])))
            }
        };
        Scripted::new(answer).with_capabilities(claims)
    }
}

#[async_trait]
impl Loader for Engine {
    async fn loaded(&self) -> Result<Vec<Resident>, Error> {
        let loaded = self.0.loaded.lock().unwrap();
        Ok(loaded
            .iter()
            .map(|(model, bytes)| Resident {
                model: model.clone(),
                bytes: *bytes,
            })
            .collect())
    }

    async fn load(&self, model: &str) -> Result<(), Error> {
        let fails = |left: u32| left.checked_sub(1);
        let panics = self.0.panics.fetch_update(SeqCst, SeqCst, fails).is_ok();
        assert!(!panics, "a load that was told to panic");
        sleep(Duration::from_secs(10)).await;
        let fails = self
            .0
            .fails
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(Error::unavailable("model_broken", "a load that was told to fail"));
        }
        let mut loaded = self.0.loaded.lock().unwrap();
        loaded.insert(model.to_owned(), size(model));
        assert!(loaded.values().sum::<u64>() <= MEMORY, "{loaded:?}");
        self.0.log.lock().unwrap().push(format!("+{model}"));
        Ok(())
    }

    async fn unload(&self, model: &str) -> Result<(), Error> {
        let wait = *self.0.unloads_in.lock().unwrap();
        sleep(wait).await;
        self.0.loaded.lock().unwrap().remove(model);
        self.0.log.lock().unwrap().push(format!("-{model}"));
        Ok(())
    }
}

fn residency(engine: &Engine) -> Arc<Residency<Scripted>> {
    let models = [
        SharedModel::new("small", 2).pinned(),
        SharedModel::new("one", 7),
        SharedModel::new("two", 7),
    ];
    Arc::new(Residency::new(
        engine.module(),
        engine.clone(),
        models,
        Budget::Fixed(MEMORY),
    ))
}

async fn ask(module: &Arc<Residency<Scripted>>, model: &str) -> Result<(), Error> {
    let mut output = module
        .run_inference(Input::chat(model, [Message::user("hello")]))
        .await?;
    while let Some(chunk) = output.body.next().await {
        chunk?;
    }
    Ok(())
}

/// Asks for a model so often, with this pause after each time; the codes of what failed.
async fn ask_often(
    module: &Arc<Residency<Scripted>>,
    model: &str,
    times: usize,
    pause: Duration,
) -> Vec<String> {
    let mut failed = Vec::new();
    for _ in 0..times {
        if let Err(error) = ask(module, model).await {
            failed.push(error.code().to_owned());
        }
        sleep(pause).await;
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_is_there_at_the_start_and_another_is_loaded_as_it_is_asked_for() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    assert_eq!(engine.loaded(), ["small"]);
    let began = Instant::now();
    ask(&module, "small").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    ask(&module, "one").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(12), "it waits for its model");
    assert_eq!(engine.log(), ["+small", "+one"]);
    let metrics = module.get_metrics();
    assert_eq!(metrics.get("residency.loaded", &[("model", "one")]), Some(1.0));
    assert_eq!(metrics.get("residency.loads", &[("model", "two")]), Some(0.0));
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_that_are_asked_for_as_often_do_not_take_turns() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    ask(&module, "one").await.unwrap();
    let pause = Duration::from_secs(2);
    let (one, two) = tokio::join!(
        ask_often(&module, "one", 400, pause),
        ask_often(&module, "two", 60, Duration::from_secs(1)),
    );
    assert_eq!(one, [] as [String; 0]);
    assert!(two.iter().all(|code| code == "model_loading"), "{two:?}");
    assert_eq!(engine.log(), ["+small", "+one"]);
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_follows_what_is_asked_for_and_the_floor_stays() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    ask_often(&module, "one", 100, Duration::from_secs(1)).await;
    // From now on they want the other one.
    let refused = ask_often(&module, "two", 2_000, Duration::from_secs(1)).await;
    assert_eq!(engine.log(), ["+small", "+one", "-one", "+two"]);
    assert!(refused.len() < 40, "{} of 2000", refused.len());
    ask(&module, "small").await.unwrap();
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_want_to_wait_for_a_model_learns_when_to_come_back() {
    let engine = Engine::default();
    let models = [SharedModel::new("one", 7)];
    let module = Residency::new(engine.module(), engine.clone(), models, Budget::Fixed(MEMORY))
        .patience(Duration::from_secs(1))
        .policy(ResidencyPolicy::default().stay(Duration::ZERO));
    let module = Arc::new(module);
    module.initialize().await.unwrap();
    let error = ask(&module, "one").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Overloaded, "model_loading")
    );
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(11)));
    sleep(Duration::from_secs(11)).await;
    ask(&module, "one").await.unwrap();
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_load_is_refused_with_the_reason_and_let_be_for_a_while() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    engine.0.fails.store(1, SeqCst);
    let (first, second) = tokio::join!(ask(&module, "one"), ask(&module, "one"));
    for refused in [first, second] {
        assert_eq!(refused.unwrap_err().code(), "model_broken");
    }
    assert_eq!(ask(&module, "one").await.unwrap_err().code(), "model_broken");
    ask(&module, "small").await.unwrap();
    sleep(Duration::from_secs(30)).await;
    ask(&module, "one").await.unwrap();
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_that_the_engine_let_go_is_loaded_again() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    engine.0.loaded.lock().unwrap().clear();
    sleep(Duration::from_secs(6)).await;
    let health = module.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.reason()),
        (HealthStatus::Degraded, Some("the model small is not loaded"))
    );
    sleep(Duration::from_secs(10)).await;
    assert_eq!(engine.log(), ["+small", "+small"]);
    assert_eq!(module.health_check().await.unwrap().status(), HealthStatus::Ready);
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_name_of_a_model_is_no_way_around() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    ask(&module, "one:latest").await.unwrap();
    assert_eq!(engine.log(), ["+small", "+one"]);
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_is_one_that_failed() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    engine.0.panics.store(1, SeqCst);
    assert_eq!(ask(&module, "one").await.unwrap_err().code(), "module_panicked");
    sleep(Duration::from_secs(30)).await;
    ask(&module, "one").await.unwrap();
    module.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_model_that_was_leaving_at_the_shutdown_is_asked_after_the_next_start() {
    let engine = Engine::default();
    let module = residency(&engine);
    module.initialize().await.unwrap();
    ask(&module, "one").await.unwrap();
    sleep(Duration::from_secs(120)).await;
    *engine.0.unloads_in.lock().unwrap() = Duration::from_secs(30);
    // Asked for often enough to have the other leave.
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let module = module.clone();
            tokio::spawn(async move { ask(&module, "two").await })
        })
        .collect();
    sleep(Duration::from_secs(10)).await;
    let leaving = timeout(Duration::from_secs(1), ask(&module, "one")).await;
    assert!(leaving.is_err(), "it is about to leave, and asked no more");
    module.shutdown().await.unwrap();
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap_err().code(), "model_loading");
    }
    module.initialize().await.unwrap();
    ask(&module, "one").await.unwrap();
    module.shutdown().await.unwrap();
}
