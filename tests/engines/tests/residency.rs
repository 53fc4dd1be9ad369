//! Models that share the memory of a real Ollama: what is loaded follows what is asked for, and what is pinned stays.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use parts::{
    crowd::Crowd,
    ollama::{self, Ollama, Start},
    ollama_image::Image,
};
use synapse_core::{
    Deadline, Error, HealthStatus, InferenceModule, Input, Message, MetricsData, Output, Prompt, Request,
    Retry, Task,
};
use synapse_miner::{
    ollama::{KeepAlive, LoadedModel, Models, OllamaModule},
    scale::{Budget, Loader, Residency, ResidencyPolicy, SharedModel},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);
const MODELS: [&str; 3] = ["smollm2", "second", "third"];

/// An Ollama with three models of one size, and memory for two.
struct Shared {
    ollama: Ollama,
    /// What Ollama itself says.
    models: Models,
    module: Arc<Residency<OllamaModule>>,
    budget: u64,
}

impl Shared {
    /// The first is advertised as always there.
    async fn new(kind: &str) -> Self {
        let ollama = Start::new(kind)
            .variable("OLLAMA_CONTEXT_LENGTH", "1024")
            .variable("OLLAMA_MAX_LOADED_MODELS", "3")
            .start();
        let store = ollama.home().join("models");
        Image::twin(b'2').store(&store, MODELS[1]);
        Image::twin(b'3').store(&store, MODELS[2]);
        let models = Models::connect(&ollama.url()).await.expect("an Ollama");
        let module = OllamaModule::builder(ollama.url()).context_length(512).build();
        let module = module.expect("an address");
        models
            .load(MODELS[0], KeepAlive::Forever)
            .await
            .expect("it loads");
        let bytes = models.loaded().await.expect("a list")[0].size;
        let budget = bytes * 5 / 2;
        let shared = MODELS.map(|name| SharedModel::new(name, bytes));
        let [pinned, second, third] = shared;
        let module = Residency::new(
            module.clone(),
            module,
            [pinned.pinned(), second, third],
            Budget::Fixed(budget),
        );
        let policy = ResidencyPolicy::default().stay(Duration::from_secs(1));
        Self {
            ollama,
            models,
            module: Arc::new(module.policy(policy).patience(PATIENCE)),
            budget,
        }
    }

    /// The models that Ollama has in memory, by name.
    async fn loaded(&self) -> Vec<String> {
        names(&self.models).await
    }

    /// Asks for a model, and reads the reply.
    async fn ask(&self, input: Input) -> Result<String, Error> {
        rest(self.module.run_inference(input).await?).await
    }

    fn metric(&self, name: &str, model: &str) -> f64 {
        let metrics = self.module.get_metrics();
        metrics.get(name, &[("model", model)]).expect("it is counted")
    }
}

async fn names(models: &Models) -> Vec<String> {
    let loaded = models.loaded().await.expect("a list").into_iter();
    let mut names: Vec<_> = loaded
        .map(|model| model.name.trim_end_matches(":latest").to_owned())
        .collect();
    names.sort();
    names
}

/// The context with which Ollama has a model in memory, in tokens.
async fn context_of(models: &Models, name: &str) -> Option<u32> {
    let loaded = models.loaded().await.expect("a list");
    let model = loaded.iter().find(|model| model.name.starts_with(name));
    model.map(|model| model.context_length)
}

async fn rest(mut output: Output) -> Result<String, Error> {
    let mut text = String::new();
    while let Some(chunk) = output.body.next().await {
        for delta in chunk?.deltas()? {
            text.push_str(&delta.text);
        }
    }
    Ok(text)
}

fn input(model: &str, tokens: u32) -> Input {
    let messages = Prompt::Messages(vec![Message::user("Count from one to ten.")]);
    let request = Request::new(model, messages).with_params(|params| {
        params.max_tokens = Some(tokens);
        params.temperature = Some(0.0);
        params.stream = true;
    });
    Input::from_request(Task::CHAT, request)
}

/// Looks all the time whether the pinned model is loaded, and all of them within their budget.
struct Watch {
    over: Arc<AtomicBool>,
    looks: JoinHandle<usize>,
}

impl Watch {
    fn begin(shared: &Shared) -> Self {
        let over = Arc::<AtomicBool>::default();
        let (models, budget, ends) = (shared.models.clone(), shared.budget, over.clone());
        let looks = tokio::spawn(async move {
            let mut looks = 0;
            while !ends.load(SeqCst) {
                let loaded = models.loaded().await.expect("a list");
                let taken: u64 = loaded.iter().map(|model| model.size).sum();
                assert!(taken <= budget, "{taken} of {budget} bytes: {loaded:?}");
                assert!(
                    loaded.iter().any(|model| model.name.starts_with(MODELS[0])),
                    "{loaded:?}"
                );
                looks += 1;
                sleep(Duration::from_millis(10)).await;
            }
            looks
        });
        Self { over, looks }
    }

    /// How often all was well.
    async fn end(self) -> usize {
        self.over.store(true, SeqCst);
        self.looks.await.expect("it was well at each look")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_ollama_has_loaded_follows_what_is_asked_for() {
    for kind in ["self-contained", "current"] {
        let shared = Shared::new(kind).await;
        let [pinned, second, third] = MODELS;
        shared.models.unload(pinned).await.expect("it leaves");
        shared.module.initialize().await.expect("it is ready");
        assert_eq!(shared.loaded().await, [pinned], "{kind}");
        let watch = Watch::begin(&shared);

        let asked = Instant::now();
        shared.ask(input(second, 4)).await.expect("an answer");
        let loads = asked.elapsed();
        assert_eq!(shared.loaded().await, [second, pinned], "{kind}");

        // A reply under way keeps its model where it is; then it leaves for one that is asked for more.
        let under_way = shared.module.run_inference(input(second, 16)).await;
        let under_way = under_way.expect("it begins");
        let crowd = Crowd::gather(4, Duration::ZERO, &shared.module, &input(third, 4));
        let asked = Instant::now();
        while shared.metric("residency.waiting", third) < 4.0 {
            assert!(asked.elapsed() < PATIENCE, "nobody waits");
            sleep(Duration::from_millis(5)).await;
        }
        rest(under_way).await.expect("it is not cut");
        crowd.served(8).await;
        let tally = crowd.leave().await;
        assert_eq!((&tally.refused[..], &tally.cut[..]), (&[][..], &[][..]), "{kind}");
        assert_eq!(shared.loaded().await, [pinned, third], "{kind}");
        eprintln!(
            "residency: {kind}: answered {loads:.1?} after a model was asked for that was not loaded, {:.1?} where another left for it",
            tally.slowest
        );

        // Who is asked for less has to wait, and is told for how long; who is pinned never has to.
        let mut impatient = input(second, 4);
        let deadline = Deadline::at(Instant::now() + Duration::from_millis(500));
        impatient.extensions_mut().insert(deadline);
        let refused = shared.ask(impatient).await.expect_err("there is no room");
        assert_eq!(refused.code(), "model_loading", "{kind}");
        assert!(matches!(refused.retry(), Retry::After(_)), "{kind}: {refused:?}");
        shared.ask(input(pinned, 4)).await.expect("an answer");
        assert_eq!(shared.loaded().await, [pinned, third], "{kind}");
        let looks = watch.end().await;
        eprintln!(
            "residency: {kind}: at {looks} looks the pinned model was loaded, and all within their budget"
        );
        let count = |name| MODELS.map(|model| shared.metric(name, model));
        assert_eq!(count("residency.loads"), [1.0, 1.0, 1.0], "{kind}");
        assert_eq!(count("residency.unloads"), [0.0, 1.0, 0.0], "{kind}");
        // One more for what the size was measured with: no request had a model loaded anew, or shortened its stay.
        let log = shared.ollama.log();
        let is_start = |line: &&str| line.contains("msg=\"starting ") && line.contains(" --model ");
        assert_eq!(log.lines().filter(is_start).count(), 4, "{kind}: {log}");
        let all = shared.models.loaded().await.expect("a list");
        let is_kept = |model: &LoadedModel| model.expires_at.as_str() > "2100";
        assert!(all.iter().all(is_kept), "{kind}: {all:?}");

        // Somebody else loads the pinned one with another context, and takes it out: it comes back unasked, and as it was.
        assert_eq!(context_of(&shared.models, pinned).await, Some(512), "{kind}");
        let other = OllamaModule::builder(shared.ollama.url()).context_length(1024);
        let other = other.build().expect("an address");
        other.initialize().await.expect("it is ready");
        Loader::load(&other, pinned).await.expect("it loads");
        assert_eq!(context_of(&shared.models, pinned).await, Some(1024), "{kind}");
        shared.models.unload(pinned).await.expect("it leaves");
        let gone = Instant::now();
        let mut degraded = false;
        while !shared.loaded().await.contains(&pinned.to_owned()) || !degraded {
            assert!(gone.elapsed() < PATIENCE, "it does not come back");
            let health = shared.module.health_check().await.expect("it answers");
            degraded |= health.status() == HealthStatus::Degraded;
            sleep(Duration::from_millis(20)).await;
        }
        eprintln!(
            "residency: {kind}: the pinned model was back {:.1?} after somebody unloaded it",
            gone.elapsed()
        );
        assert_eq!(context_of(&shared.models, pinned).await, Some(512), "{kind}");
        shared.module.shutdown().await.expect("it ends");
        // What is loaded stays so; told to leave, each is gone before that is said.
        for model in [third, pinned] {
            assert!(shared.loaded().await.contains(&model.to_owned()), "{kind}");
            let left = Loader::unload(&shared.models, model).await;
            left.expect("it leaves");
            assert!(!shared.loaded().await.contains(&model.to_owned()), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_somebody_else_chose_leaves_with_his_model() {
    let ollama = Start::new("self-contained").start();
    let models = Models::connect(&ollama.url()).await.expect("an Ollama");
    let module = OllamaModule::builder(ollama.url()).context_length(512).build();
    let module = module.expect("an address");
    module.initialize().await.expect("it is ready");
    // The module hears what is in memory as it is asked how it is.
    let hears = async |is_loaded: bool| {
        let since = Instant::now();
        let memory = |metrics: MetricsData| metrics.get("ollama.memory_bytes", &[("model", ollama::MODEL)]);
        while memory(module.get_metrics()).is_some() != is_loaded {
            assert!(since.elapsed() < PATIENCE, "it does not hear of it");
            module.health_check().await.expect("it answers");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let other = OllamaModule::builder(ollama.url()).context_length(1024).build();
    let other = other.expect("an address");
    other.initialize().await.expect("it is ready");
    Loader::load(&other, MODELS[0]).await.expect("it loads");
    hears(true).await;
    assert_eq!(context_of(&models, MODELS[0]).await, Some(1024));
    Loader::unload(&models, MODELS[0]).await.expect("it leaves");
    hears(false).await;
    let output = module.run_inference(input(MODELS[0], 4)).await;
    rest(output.expect("an answer")).await.expect("it is whole");
    assert_eq!(context_of(&models, MODELS[0]).await, Some(512));
}
