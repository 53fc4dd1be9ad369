//! Reading the configuration again.

use std::future::pending;

use synapse_core::config::{Change, Configuration, Live, Problems};

/// Reads the configuration again at each SIGHUP, and says what came of it; for as long as it is polled. Elsewhere than on
/// Unix nobody can ask for it.
pub async fn reload_on_hangup<T: Configuration>(
    live: Live<T>,
    mut told: impl FnMut(Result<Vec<Change>, Problems>),
) -> ! {
    #[cfg(unix)]
    if let Ok(mut hangups) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while hangups.recv().await.is_some() {
            let live = live.clone();
            // A file takes as long as its disk does.
            if let Ok(reloaded) = tokio::task::spawn_blocking(move || live.reload()).await {
                told(reloaded);
            }
        }
    }
    let _ = (&live, &mut told);
    pending().await
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
