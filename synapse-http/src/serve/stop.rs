//! When to stop.

use std::{fmt, future::pending, pin::Pin};

use synapse_core::Error;

/// What ends a server: the process's signals, or a future of the embedding program.
pub(super) enum Stop {
    Signals(Signals),
    When(Option<Pin<Box<dyn Future<Output = ()> + Send>>>),
}

impl Stop {
    pub(super) fn when(done: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::When(Some(Box::pin(done)))
    }

    /// Resolves at each request to stop. Cancel safe.
    pub(super) async fn requested(&mut self) {
        match self {
            Self::Signals(signals) => signals.next().await,
            Self::When(Some(done)) => {
                done.await;
                *self = Self::When(None);
            }
            Self::When(None) => pending().await,
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals(_) => "Signals",
            Self::When(_) => "When",
        })
    }
}

/// SIGTERM and SIGINT; Ctrl-C where there are no signals.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| {
            Error::internal("signals_unavailable", "cannot listen for SIGTERM and SIGINT").with_source(error)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> Result<Self, Error> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending().await
        }
    }
}
