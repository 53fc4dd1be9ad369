//! A supervised engine, what is asked of it, and what happened to it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use synapse_core::{Body, Error, HealthStatus, InferenceModule, Input, Message, Prompt, Request, Task};
use synapse_http::OpenAiModule;
use synapse_miner::supervisor::{
    EngineEvent, EnginePhase, EngineSpec, EngineStatus, RestartPolicy, Supervised,
};
use tokio::time::{Instant, sleep, timeout};

/// Longer than any of it takes on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long an engine may be gone, besides loading its model.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);

/// A real llama-server with the chat model, as small as it gets.
pub(crate) fn llama() -> EngineSpec {
    llama_of(&parts::model())
}

pub(crate) fn llama_of(model: &Path) -> EngineSpec {
    EngineSpec::llama_server(parts::llama_server(), model)
        .threads(1)
        .arg("--threads-batch")
        .arg("1")
        .context(512)
        .slots(2)
        .restart(RestartPolicy::default().backoff(Duration::from_millis(200), Duration::from_secs(2)))
        .grace(Duration::from_secs(5))
}

pub(crate) struct Watched<M = OpenAiModule> {
    pub(crate) module: Supervised<M>,
    events: Arc<Mutex<Vec<EngineEvent>>>,
    model: &'static str,
}

impl Watched {
    pub(crate) fn start(spec: EngineSpec, model: &'static str) -> Self {
        Self::start_as(spec, model, |url| async move {
            // llama-server closes a connection after a streamed reply without having said so.
            let settings = OpenAiModule::builder(url).idle_connections(0);
            settings.idle_timeout(PATIENCE).build()
        })
    }

    /// Started, and ready.
    pub(crate) async fn ready(spec: EngineSpec, model: &'static str) -> Self {
        Self::start(spec, model).readied().await
    }
}

impl<M: InferenceModule> Watched<M> {
    fn start_as<F, Fut>(spec: EngineSpec, model: &'static str, module: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, Error>> + Send + 'static,
    {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let spec = spec.on_event(move |event| {
            eprintln!("  event {}: {event}", event.code());
            heard.lock().unwrap().push(event.clone());
        });
        Self {
            module: Supervised::start(spec, module).unwrap(),
            events,
            model,
        }
    }

    /// Started with another module, and ready.
    pub(crate) async fn ready_as<F, Fut>(spec: EngineSpec, model: &'static str, module: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, Error>> + Send + 'static,
    {
        Self::start_as(spec, model, module).readied().await
    }

    async fn readied(self) -> Self {
        let ready = timeout(PATIENCE, self.module.initialize())
            .await
            .expect("it is ready in time");
        ready.expect("it is ready");
        self
    }

    pub(crate) fn status(&self) -> EngineStatus {
        self.module.supervisor().status()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.status().pid.expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// The events of this code so far.
    pub(crate) fn events(&self, code: &str) -> Vec<EngineEvent> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter(|event| event.code() == code)
            .cloned()
            .collect()
    }

    /// What the events of this code say.
    pub(crate) fn said(&self, code: &str) -> Vec<String> {
        self.events(code).iter().map(ToString::to_string).collect()
    }

    pub(crate) fn input(&self, tokens: u32, text: &str) -> Input {
        let messages = Prompt::Messages(vec![Message::user(text.to_owned())]);
        let request = Request::new(self.model, messages).with_params(|params| {
            params.max_tokens = Some(tokens);
            params.temperature = Some(0.0);
            params.stream = true;
        });
        Input::from_request(Task::CHAT, request)
    }

    /// A reply under way, after its first content.
    pub(crate) async fn begin(&self, tokens: u32) -> Body {
        let input = self.input(tokens, "Count from one to a thousand, in words.");
        let output = timeout(PATIENCE, self.module.run_inference(input))
            .await
            .expect("in time");
        output.expect("a reply begins").body
    }

    pub(crate) async fn ask(&self) -> Result<String, Error> {
        let mut body = self.module.run_inference(self.input(4, "Say hi.")).await?.body;
        read(&mut body).await
    }

    /// Waits until it answers again; how long that took, and the longest that anybody was kept waiting for a refusal.
    pub(crate) async fn answers_again(&self) -> Duration {
        let since = Instant::now();
        loop {
            let asked = Instant::now();
            match timeout(PATIENCE, self.ask())
                .await
                .expect("an answer or a refusal")
            {
                Ok(text) => {
                    assert!(!text.is_empty());
                    return since.elapsed();
                }
                Err(error) => {
                    assert!(
                        ["engine_down", "engine_starting", "engine_died", "engine_draining"]
                            .contains(&error.code()),
                        "{error:?}"
                    );
                    assert!(error.code() == "engine_died" || asked.elapsed() < Duration::from_secs(1));
                    assert!(since.elapsed() < PATIENCE, "it does not come back: {error}");
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&EngineStatus) -> bool) {
        let since = Instant::now();
        while !is_so(&self.status()) {
            assert!(since.elapsed() < PATIENCE, "never {what}: {:?}", self.status());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn is_unhealthy(&self) -> String {
        let health = self.module.health_check().await.unwrap();
        assert_eq!(health.status(), HealthStatus::Unhealthy);
        health.reason().unwrap().to_owned()
    }

    /// Ends it, and looks that nothing of it is left.
    pub(crate) async fn end(self) {
        let pid = self.status().pid;
        self.module.shutdown().await.unwrap();
        assert_eq!(self.status().phase, EnginePhase::Stopped);
        if let Some(pid) = pid {
            assert!(group(pid).is_empty(), "processes of its group are left");
        }
    }
}

pub(crate) async fn read(body: &mut Body) -> Result<String, Error> {
    let mut text = String::new();
    while let Some(chunk) = timeout(PATIENCE, body.next()).await.expect("in time") {
        for delta in chunk?.deltas()? {
            text.push_str(&delta.text);
        }
    }
    Ok(text)
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).expect("it is a process of this test's");
}

/// The processes of a group that live.
pub(crate) fn group(group: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let of: u32 = fields.nth(1)?.parse().ok()?;
        (of == group && state != "Z").then_some(pid)
    })
    .collect()
}

/// One line for whoever looks for figures.
pub(crate) fn tell(what: &str, gone: Duration) {
    eprintln!(
        "supervisor: {what}: answered again after {:.2} s",
        gone.as_secs_f64()
    );
}
