//! Reading the configuration again.

use synapse_core::{
    Error,
    config::{Change, Configuration, Live, Problems, Wrong},
};

/// The SIGHUPs that a process gets, since it listens: until then, one ends it. Elsewhere than on Unix there are none.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Listens from now on. What comes before anybody [waits](Self::reload) is kept until then, as one.
    ///
    /// # Errors
    /// Where the system has no more room for such a thing.
    pub fn listen() -> Result<Self, Error> {
        #[cfg(unix)]
        return {
            use tokio::signal::unix::{SignalKind, signal};
            let failed =
                |error| Error::internal("signals_unavailable", "cannot listen for SIGHUP").with_source(error);
            let signal = signal(SignalKind::hangup()).map_err(failed)?;
            Ok(Self { signal })
        };
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one. Cancel safe.
    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Reads the configuration again at each, and says what came of it; for as long as it is polled.
    pub async fn reload<T: Configuration>(
        self,
        live: Live<T>,
        told: impl AsyncFnMut(Result<Vec<Change>, Problems>),
    ) -> ! {
        self.reload_checked(live, |_, _| {}, told).await
    }

    /// The same, where `check` finds nothing wrong either; it may block.
    pub async fn reload_checked<T: Configuration>(
        mut self,
        live: Live<T>,
        check: impl Fn(&T, &mut Wrong) + Clone + Send + 'static,
        mut told: impl AsyncFnMut(Result<Vec<Change>, Problems>),
    ) -> ! {
        loop {
            self.next().await;
            let (live, check) = (live.clone(), check.clone());
            // A file takes as long as its disk does.
            if let Ok(reloaded) = tokio::task::spawn_blocking(move || live.reload_checked(check)).await {
                told(reloaded).await;
            }
        }
    }
}

/// Says on standard error what came of reading the configuration again.
pub fn tell(reloaded: &Result<Vec<Change>, Problems>) {
    match reloaded {
        Ok(changes) if changes.is_empty() => {
            eprintln!("the configuration was read again, and nothing changed");
        }
        Ok(changes) => {
            eprintln!("the configuration was read again:");
            for change in changes {
                let when = if change.needs_restart {
                    ", from the next start on"
                } else {
                    ""
                };
                eprintln!("  {change}{when}");
            }
        }
        Err(problems) => {
            eprintln!("the configuration stays as it was, since the new one is wrong:\n{problems}");
        }
    }
}
