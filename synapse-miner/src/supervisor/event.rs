//! What happens to an engine.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use synapse_core::Error;

use super::EngineDeath;

/// Something that happened to an engine. [`code`](Self::code) names it for machines, [`Display`](fmt::Display) tells it in
/// one line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EngineEvent {
    /// An engine that an earlier process had started, and that outlived it, was found and ended.
    OrphanEnded {
        /// Which engine.
        engine: Arc<str>,
        /// The process that it was.
        pid: u32,
    },
    /// It is being started.
    Starting {
        /// Which engine.
        engine: Arc<str>,
    },
    /// It answers.
    Ready {
        /// Which engine.
        engine: Arc<str>,
        /// Where.
        address: SocketAddr,
        /// How long it took from its start until its probe was answered, its model loaded where the probe says so.
        started_in: Duration,
        /// How long its warm-up took, where there was one.
        warmed_in: Option<Duration>,
        /// How long nobody was answered, where it had died.
        gone_for: Option<Duration>,
    },
    /// It answers, but not what it was asked to warm up with.
    NotWarm {
        /// Which engine.
        engine: Arc<str>,
        /// Why.
        error: Error,
    },
    /// It answers, and found no GPU: it computes on the processor.
    NoGpu {
        /// Which engine.
        engine: Arc<str>,
        /// The line in which it said so.
        line: String,
    },
    /// The system killed a process of its control group for want of memory, one of its own or a neighbour; it goes on.
    OutOfMemory {
        /// Which engine.
        engine: Arc<str>,
    },
    /// It is gone, and will be started again.
    Died {
        /// Why.
        death: Arc<EngineDeath>,
        /// How many requests were under way.
        in_flight: usize,
        /// When it is started again.
        again_in: Duration,
        /// It died too often of late, and is tried only now and then.
        crash_loop: bool,
    },
    /// It is stopped for good.
    Stopped {
        /// Which engine.
        engine: Arc<str>,
    },
}

impl EngineEvent {
    /// A stable name, in `snake_case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OrphanEnded { .. } => "engine_orphan_ended",
            Self::Starting { .. } => "engine_starting",
            Self::Ready { .. } => "engine_ready",
            Self::NotWarm { .. } => "engine_not_warm",
            Self::NoGpu { .. } => "engine_without_gpu",
            Self::OutOfMemory { .. } => "engine_process_out_of_memory",
            Self::Died { death, .. } => death.code,
            Self::Stopped { .. } => "engine_stopped",
        }
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        matches!(
            self,
            Self::NotWarm { .. }
                | Self::NoGpu { .. }
                | Self::OutOfMemory { .. }
                | Self::Died { .. }
                | Self::OrphanEnded { .. }
        )
    }
}

impl fmt::Display for EngineEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrphanEnded { engine, pid } => write!(
                f,
                "{engine} was still there as process {pid}, from a miner that is gone, and is ended"
            ),
            Self::Starting { engine } => write!(f, "{engine} is started"),
            Self::Ready {
                engine,
                address,
                started_in,
                warmed_in,
                gone_for,
            } => {
                write!(f, "{engine} answers at {address}")?;
                if let Some(gone) = gone_for {
                    write!(f, " again, {:.1} s after it was gone", gone.as_secs_f64())?;
                }
                write!(f, ": it was up after {:.1} s", started_in.as_secs_f64())?;
                match warmed_in {
                    Some(warm) => write!(f, " and warm after {:.1} s more", warm.as_secs_f64()),
                    None => Ok(()),
                }
            }
            Self::NotWarm { engine, error } => write!(f, "{engine} answers, but is not warm: {error}"),
            Self::NoGpu { engine, line } => write!(
                f,
                "{engine} answers, but found no GPU and computes on the processor: {line:?}; compare the GPUs that it was given with those that nvidia-smi lists"
            ),
            Self::OutOfMemory { engine } => write!(
                f,
                "the system killed {engine}'s process for a model, or a neighbour, since memory ran out; give it more, or a smaller model"
            ),
            Self::Died {
                death,
                in_flight,
                again_in,
                crash_loop,
            } => {
                write!(f, "{death}")?;
                if death.ran > Duration::ZERO {
                    let requests = match in_flight {
                        1 => "1 request was".to_owned(),
                        many => format!("{many} requests were"),
                    };
                    write!(
                        f,
                        "; {requests} under way, after {:.0} s",
                        death.ran.as_secs_f64()
                    )?;
                }
                match (death.telling_line(), death.last_line()) {
                    (Some(line), _) => write!(f, "; it wrote {line:?}")?,
                    (None, Some(line)) => write!(f, "; its last line: {line:?}")?,
                    (None, None) => {}
                }
                if *crash_loop {
                    f.write_str("; it died too often, and stays down")?;
                }
                let again = again_in.as_secs_f64();
                // Whoever waits for its start is told that it failed, and may end.
                if death.ran == Duration::ZERO && (death.hopeless || *crash_loop) {
                    return write!(
                        f,
                        "; where the miner goes on without it, it is tried again in {again:.1} s"
                    );
                }
                write!(f, "; it is started again in {again:.1} s")
            }
            Self::Stopped { engine } => write!(f, "{engine} is stopped"),
        }
    }
}
