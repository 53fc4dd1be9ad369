//! How an engine does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synapse_core::{Error, Retry};
use tokio::{sync::watch, time::Instant};

use super::{EngineDeath, EngineLoad};

/// What a supervised engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnginePhase {
    /// It is being started, loads its model or is warmed up.
    Starting,
    /// It answers.
    Ready,
    /// It takes nothing new: it is being stopped, or is started again once what is under way has ended.
    Draining,
    /// It is gone, and will be started again.
    Down,
    /// It is stopped for good.
    Stopped,
}

/// How an engine does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Which engine.
    pub engine: Arc<str>,
    /// What it does.
    pub phase: EnginePhase,
    /// Since when.
    pub since: Instant,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Where it answers, while it does.
    pub address: Option<SocketAddr>,
    /// How often it was started.
    pub starts: u64,
    /// How often it died or did not come up.
    pub deaths: u64,
    /// How often of those it hung and was killed.
    pub hangs: u64,
    /// How often the system killed a process of its control group for want of memory.
    pub out_of_memory: u64,
    /// Why it was gone last.
    pub last_death: Option<Arc<EngineDeath>>,
    /// Whether it died so often of late that it is tried only now and then.
    pub crash_loop: bool,
    /// When it is started again, while it is down.
    pub next_start: Option<Instant>,
    /// How long it took until it was ready, the last time.
    pub starting: Option<Duration>,
    /// What it said of its load, and when.
    pub load: Option<(Instant, EngineLoad)>,
    /// How often it was looked whether it can be started.
    pub(super) attempts: u64,
    /// The run that answers.
    pub(super) run: Option<Run>,
}

/// An engine from when it answers until it is gone.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) address: SocketAddr,
    over: watch::Receiver<Option<Arc<EngineDeath>>>,
}

impl Run {
    pub(super) fn begin(address: SocketAddr) -> (watch::Sender<Option<Arc<EngineDeath>>>, Self) {
        let (end, over) = watch::channel(None);
        (end, Self { address, over })
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.borrow().is_some() || self.over.has_changed().is_err()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.over.same_channel(&other.over)
    }

    /// Waits until it is gone; `None` where nobody is left to say why.
    pub(super) async fn over(&mut self) -> Option<Arc<EngineDeath>> {
        let death = self.over.wait_for(Option::is_some).await;
        death.ok().and_then(|death| death.clone())
    }
}

impl EngineStatus {
    pub(super) fn new(engine: &Arc<str>) -> Self {
        Self {
            engine: engine.clone(),
            phase: EnginePhase::Starting,
            since: Instant::now(),
            pid: None,
            address: None,
            starts: 0,
            deaths: 0,
            hangs: 0,
            out_of_memory: 0,
            last_death: None,
            crash_loop: false,
            next_start: None,
            starting: None,
            load: None,
            attempts: 0,
            run: None,
        }
    }

    pub(super) fn enter(&mut self, phase: EnginePhase) {
        (self.phase, self.since) = (phase, Instant::now());
        (self.next_start, self.run, self.address) = (None, None, None);
    }

    /// Why nobody is answered now: `engine_starting`, `engine_draining`, `engine_down`, `engine_stopped`.
    pub(super) fn refusal(&self) -> Error {
        let starting = self.starting.unwrap_or(Duration::from_secs(5));
        let name = &self.engine;
        let (code, message, wait) = match self.phase {
            EnginePhase::Starting | EnginePhase::Ready => (
                "engine_starting",
                format!("{name} is starting, and loads its model"),
                Some(starting.saturating_sub(self.since.elapsed())),
            ),
            EnginePhase::Draining => (
                "engine_draining",
                format!("{name} takes nothing new: it is being stopped, or started again"),
                Some(starting),
            ),
            EnginePhase::Down => {
                let why = self.last_death.as_ref().map_or("is gone", |death| death.code);
                let next = self
                    .next_start
                    .map(|next| next.saturating_duration_since(Instant::now()));
                (
                    "engine_down",
                    format!("{name} is down ({why})"),
                    next.map(|next| next + starting),
                )
            }
            EnginePhase::Stopped => ("engine_stopped", format!("{name} is stopped"), None),
        };
        let mut error = Error::unavailable(code, message).with_retry(Retry::Elsewhere);
        if let Some(wait) = wait {
            error = error.with_retry_after(wait.max(Duration::from_secs(1)));
        }
        match &self.last_death {
            Some(death) if self.phase == EnginePhase::Down => error.with_source(death.as_ref().clone()),
            _ => error,
        }
    }
}
