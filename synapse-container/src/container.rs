//! A container that was started.

use std::{fmt, path::PathBuf, time::Duration};

use bollard::{
    errors::Error as Docker,
    query_parameters::{
        LogsOptionsBuilder, StatsOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use futures_util::StreamExt as _;
use synapse_core::Error;
use tokio::time::timeout;

use crate::{ModuleSocket, Runtime, fault::fault, logs};

/// The longest wait for what Docker says of a container's state, log or use.
const ASKED: Duration = Duration::from_secs(10);

/// A container that was started. It goes on when this is dropped: whoever started it [removes](Self::remove) it.
#[derive(Debug)]
pub struct Container {
    runtime: Runtime,
    id: String,
    name: String,
    directory: PathBuf,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Its exit status; past 128 a signal's number and 128.
    pub code: i64,
    /// Whether the kernel ended a process of it for its memory.
    pub out_of_memory: bool,
}

/// What a container uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Memory, in bytes; what the kernel could take back at once is not counted.
    pub memory: u64,
    /// The most memory that it may have, in bytes.
    pub memory_limit: u64,
    /// Time of processors that it had since it started.
    pub cpu: Duration,
    /// Its processes and threads.
    pub processes: u64,
}

impl Container {
    pub(crate) fn new(runtime: Runtime, id: String, name: String, directory: PathBuf) -> Self {
        Self {
            runtime,
            id,
            name,
            directory,
        }
    }

    /// Its name, as `docker ps` lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The socket that its module listens on; `None` while there is none.
    ///
    /// # Errors
    /// `not_a_socket` where the container put something else there; `socket_unreadable` where this process may not look.
    pub fn socket(&self) -> Result<Option<ModuleSocket>, Error> {
        ModuleSocket::open(&self.directory)
    }

    /// Waits until it ends, by itself or not. May be dropped and called again.
    ///
    /// # Errors
    /// Where Docker goes away, or no longer knows it: `docker_unreachable`, `docker_refused`.
    pub async fn wait(&self) -> Result<Exit, Error> {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let mut ended = Box::pin(self.runtime.docker().wait_container(&self.id, Some(options)));
        match ended.next().await {
            Some(Ok(_) | Err(Docker::DockerContainerWaitError { .. })) => self.exit().await,
            Some(Err(error)) => Err(fault(&self.attempt("wait for"), error)),
            None => Err(Error::unavailable(
                "docker_unreachable",
                format!("cannot {}: Docker went away", self.attempt("wait for")),
            )),
        }
    }

    async fn exit(&self) -> Result<Exit, Error> {
        let attempt = self.attempt("ask after");
        let asked = self.runtime.docker().inspect_container(&self.id, None);
        let state = within(&attempt, asked).await?.state.unwrap_or_default();
        Ok(Exit {
            code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
        })
    }

    /// Asks it to end (SIGTERM), and ends it when `patience` is over; at least a second. One that ended already is left as
    /// it is.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn stop(&self, patience: Duration) -> Result<(), Error> {
        let seconds = i32::try_from(patience.as_secs()).unwrap_or(i32::MAX).max(1);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let attempt = self.attempt("stop");
        let stopping = self.runtime.docker().stop_container(&self.id, Some(options));
        match timeout(patience + ASKED, stopping).await {
            // 304: it does not run.
            Ok(Ok(()) | Err(Docker::DockerResponseServerError { status_code: 304, .. })) => Ok(()),
            Ok(Err(error)) => Err(fault(&attempt, error)),
            Err(_) => Err(late(&attempt)),
        }
    }

    /// Ends it at once and removes it with its directory and its log. One that is gone already counts as removed.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn remove(&self) -> Result<(), Error> {
        self.runtime.remove(&self.id, &self.name).await
    }

    /// The last lines that it wrote, oldest first: at most `lines`, and 16 KiB.
    ///
    /// # Errors
    /// Where Docker cannot say.
    pub async fn last_lines(&self, lines: usize) -> Result<Vec<String>, Error> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let written = self.runtime.docker().logs(&self.id, Some(options));
        let attempt = self.attempt("read the log of");
        let mut last = logs::Last::new(lines);
        let read = async {
            let mut written = std::pin::pin!(written);
            while let Some(piece) = written.next().await {
                last.add(&piece?.into_bytes());
            }
            Ok(())
        };
        within(&attempt, read).await?;
        Ok(last.into_lines())
    }

    /// What it uses now.
    ///
    /// # Errors
    /// Where Docker cannot say, or it does not run.
    pub async fn usage(&self) -> Result<Usage, Error> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut said = Box::pin(self.runtime.docker().stats(&self.id, Some(options)));
        let attempt = self.attempt("ask for the use of");
        let next = async { said.next().await.transpose() };
        let said = within(&attempt, next).await?.unwrap_or_default();
        let memory = said.memory_stats.unwrap_or_default();
        let reclaimable = memory.stats.as_ref().and_then(|stats| {
            stats
                .get("total_inactive_file")
                .or_else(|| stats.get("inactive_file"))
        });
        let cpu = said.cpu_stats.and_then(|cpu| cpu.cpu_usage);
        Ok(Usage {
            memory: memory
                .usage
                .unwrap_or_default()
                .saturating_sub(reclaimable.copied().unwrap_or_default()),
            memory_limit: memory.limit.unwrap_or_default(),
            cpu: Duration::from_nanos(cpu.and_then(|cpu| cpu.total_usage).unwrap_or_default()),
            processes: said.pids_stats.and_then(|pids| pids.current).unwrap_or_default(),
        })
    }

    fn attempt(&self, what: &str) -> String {
        format!("{what} the container {}", self.name)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            _ if self.out_of_memory => f.write_str("it ran out of memory"),
            signal @ 129..=192 => write!(f, "it was ended by signal {}", signal - 128),
            code => write!(f, "it ended with status {code}"),
        }
    }
}

async fn within<T>(attempt: &str, asked: impl Future<Output = Result<T, Docker>>) -> Result<T, Error> {
    match timeout(ASKED, asked).await {
        Ok(answer) => answer.map_err(|error| fault(attempt, error)),
        Err(_) => Err(late(attempt)),
    }
}

fn late(attempt: &str) -> Error {
    fault(attempt, Docker::RequestTimeoutError)
}
