//! A local engine, started, watched and started again.
//!
//! An [`EngineSpec`] says how one engine is started, probed, drained and read; a [`Supervisor`] keeps it running; a
//! [`Supervised`] is the module that answers through it, whichever port it has at the moment.
//!
//! ```no_run
//! use synapse_http::OpenAiModule;
//! use synapse_miner::{
//!     inference::LlamaServerModule,
//!     supervisor::{EngineSpec, Supervised},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), synapse_core::Error> {
//! let spec = EngineSpec::llama_server("llama-server", "/models/smollm2.gguf")
//!     .slots(4)
//!     .state_dir("/var/lib/miner")
//!     .on_event(|event| eprintln!("{event}"));
//! let module = Supervised::start(spec, |url| async move { LlamaServerModule::local(OpenAiModule::builder(url)) })?;
//! println!("{:?}", module.supervisor().status().phase);
//! # Ok(())
//! # }
//! ```
//!
//! # What it recovers from
//! | what happens | how it is seen | what becomes of it |
//! | --- | --- | --- |
//! | the engine dies | its process ends | started again after 0.2 s, then after ever longer pauses; requests under way end with `engine_died` |
//! | it is killed for want of memory | its control group counts it | the same, and the operator is told so |
//! | its GPU's memory is another's, or its GPU fails | by what it writes | the same, and the operator is told which |
//! | it finds no GPU, and goes on without | by what it writes | it serves, and the operator is told so |
//! | it dies again and again | 5 deaths in 5 minutes | it stays down, unhealthy, and is tried every 5 minutes or on command |
//! | it cannot run as it is set up: no model, no program, a flag it does not know | before the start, or by what it writes | told in one line, tried every 5 minutes |
//! | its port is taken | before the start | told with whose it is; with a port of its choice another one is taken |
//! | it is frozen | its processes are stopped, and it does not answer | killed after 3 s |
//! | it hangs | the probe goes unanswered for 20 s, or no token is made for 3 minutes | killed |
//! | the miner is killed | a shell at the other end of a pipe | the engine's process group is ended |
//! | and so is that shell | the process noted in the state directory, at the next start | the same |
//!
//! While there is no engine, requests are refused at once with `engine_starting` or `engine_down`.
//!
//! # What is kept of its output
//! The last 200 lines, 64 KiB at most, and whatever a log file takes. No flag that makes an engine log prompts is set, and
//! variables that do are taken out of its environment. What it wrote is shown to the operator, never to callers.

mod ask;
mod death;
mod devices;
mod event;
mod keep;
mod kind;
mod load;
mod logs;
mod look;
mod memory;
mod note;
mod prepare;
mod proc;
mod process;
mod replicas;
mod restart;
mod spec;
mod status;
mod supervised;
mod symptom;
mod traffic;
mod watchdog;

use std::{fmt, sync::Arc};

use synapse_core::{Error, MetricsData};
use tokio::sync::{mpsc, watch};

pub use self::{
    death::EngineDeath,
    devices::Devices,
    event::EngineEvent,
    kind::{EngineKind, WarmUp},
    load::{EngineLoad, LoadedModel},
    replicas::EngineReplicas,
    restart::RestartPolicy,
    spec::EngineSpec,
    status::{EnginePhase, EngineStatus},
    supervised::Supervised,
    watchdog::Watchdog,
};
use self::{
    keep::{Keeper, Wish},
    logs::Logs,
    traffic::Traffic,
};

/// Wishes that may wait to be heard.
const WISHES: usize = 8;

/// Keeps one engine running. A clone is another handle of the same; once the last one is dropped, the engine is ended.
#[derive(Clone)]
pub struct Supervisor(Arc<Handle>);

struct Handle {
    spec: Arc<EngineSpec>,
    shared: Arc<Shared>,
    wishes: mpsc::Sender<Wish>,
}

/// What the handles and the task that keeps the engine share.
struct Shared {
    status: watch::Sender<EngineStatus>,
    traffic: Arc<Traffic>,
    logs: Logs,
}

impl Supervisor {
    /// Starts an engine, and keeps it running. Must be called within a runtime of tokio's, whose task does that.
    ///
    /// # Errors
    /// Where `spec` asks for what cannot be. An engine that does not come up is no error here: its
    /// [status](Self::status) says why, and it is tried again.
    pub fn start(spec: EngineSpec) -> Result<Self, Error> {
        spec.check()?;
        let spec = Arc::new(spec);
        let shared = Arc::new(Shared {
            status: watch::Sender::new(EngineStatus::new(&spec.name)),
            traffic: Arc::default(),
            logs: Logs::new(spec.log_file.clone(), spec.looks()),
        });
        let (wishes, heard) = mpsc::channel(WISHES);
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            Error::internal(
                "no_runtime",
                "an engine is kept running by a task of tokio's, and there is no runtime",
            )
            .with_source(error)
        })?;
        runtime.spawn(Keeper::new(spec.clone(), shared.clone(), heard).run());
        Ok(Self(Arc::new(Handle { spec, shared, wishes })))
    }

    /// How the engine does.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.0.shared.status.borrow().clone()
    }

    /// What it wrote last, oldest first: 200 lines at most.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.0.shared.logs.last(usize::MAX)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// `engine_start_failed` with the reason where it stays down, or is stopped; `engine_start_timeout` where it goes on
    /// failing for as long as a start may take.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut status = self.0.shared.status.subscribe();
        let settled = status.wait_for(|status| match status.phase {
            EnginePhase::Ready | EnginePhase::Stopped => true,
            EnginePhase::Down => {
                status.crash_loop || status.last_death.as_ref().is_some_and(|death| death.hopeless)
            }
            EnginePhase::Starting | EnginePhase::Draining => false,
        });
        let settled = tokio::time::timeout(self.0.spec.start_limit, settled).await;
        let status = self.status();
        match (settled, status.phase) {
            (Ok(_), EnginePhase::Ready) => Ok(()),
            (settled, _) => Err(self.not_ready(&status, settled.is_err())),
        }
    }

    fn not_ready(&self, status: &EngineStatus, late: bool) -> Error {
        let (code, why) = match (&status.last_death, late) {
            (_, true) => (
                "engine_start_timeout",
                format!(
                    "{} was not ready within {:?}",
                    status.engine, self.0.spec.start_limit
                ),
            ),
            (Some(death), false) => ("engine_start_failed", death.to_string()),
            (None, false) => return status.refusal(),
        };
        let error = Error::unavailable(code, why);
        match &status.last_death {
            Some(death) => error.with_source(death.as_ref().clone()),
            None => error,
        }
    }

    /// Starts it again, once the requests under way have ended or the [drain](EngineSpec::drain) is over; at once where it
    /// is down. What it died of before is forgotten. Waits until it is ready.
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub async fn restart(&self) -> Result<(), Error> {
        let mut status = self.0.shared.status.subscribe();
        let before = status.borrow_and_update().attempts;
        if self.0.wishes.send(Wish::Restart).await.is_ok() {
            let _ = status
                .wait_for(|status| status.attempts > before || status.phase == EnginePhase::Stopped)
                .await;
        }
        self.ready().await
    }

    /// Ends it for good: asks it to, and kills what is left of it after the [grace](EngineSpec::grace). Whoever waits for
    /// replies should have them by then. Waits until it is gone; idempotent.
    pub async fn stop(&self) {
        let mut status = self.0.shared.status.subscribe();
        if self.0.wishes.send(Wish::Stop).await.is_ok() {
            let _ = status
                .wait_for(|status| status.phase == EnginePhase::Stopped)
                .await;
        }
    }

    /// Adds what is known of the engine, labelled with its name: `engine.up`, `engine.starts`, `engine.restarts`, `engine.deaths`,
    /// `engine.hangs`, `engine.out_of_memory`, `engine.starting_seconds`, `engine.in_flight`; and where it says so
    /// `engine.slots`, `engine.busy`, `engine.waiting`, `engine.kv_cache_used`, `engine.prompt_tokens`,
    /// `engine.generated_tokens`, `engine.tokens_per_second` by kind, `engine.model_bytes` by model.
    pub fn report(&self, metrics: &mut MetricsData) {
        let status = self.status();
        let name = &*status.engine;
        let of = &[("engine", name)];
        let up = status.phase == EnginePhase::Ready;
        metrics.gauge_of("engine.up", of, f64::from(u8::from(up)));
        metrics.counter_of("engine.starts", of, status.starts);
        metrics.counter_of("engine.restarts", of, status.starts.saturating_sub(1));
        metrics.counter_of("engine.deaths", of, status.deaths);
        metrics.counter_of("engine.hangs", of, status.hangs);
        metrics.counter_of("engine.out_of_memory", of, status.out_of_memory);
        if let Some(starting) = status.starting {
            metrics.gauge_of("engine.starting_seconds", of, starting.as_secs_f64());
        }
        let in_flight = u32::try_from(self.0.shared.traffic.in_flight()).unwrap_or(u32::MAX);
        metrics.gauge_of("engine.in_flight", of, f64::from(in_flight));
        if let Some((_, load)) = status.load.filter(|_| up) {
            load.report(name, metrics);
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        f.debug_struct("Supervisor")
            .field("spec", &self.0.spec)
            .field("phase", &status.phase)
            .field("address", &status.address)
            .finish_non_exhaustive()
    }
}
