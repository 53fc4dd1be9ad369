//! A module for a container: served on the Unix socket that the miner gives it, without a network.
//!
//! ```text
//! scripts/build-image shout        # this program, statically linked, as an image
//! ```
//!
//! Whoever runs the image names the socket in `SYNAPSE_SOCKET`; `synapse_miner::container` does.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use custom_module::Shout;
use synapse_core::{Error, ErrorKind, InferenceModule as _};

/// Serve a module that answers with the last message, louder, on a Unix socket.
#[derive(Debug, Parser)]
struct Options {
    /// The Unix socket to listen on.
    #[arg(long, env = "SYNAPSE_SOCKET", default_value = "/run/synapse/module.sock")]
    socket: PathBuf,
    /// How often it says it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Milliseconds that it takes before each word.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
}

// One thread: the container has a share of a core, and a thread for each of the machine's would wait for it in turns.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
async fn run(options: Options) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};

    let shout = Shout::new().slowly(options.times, Duration::from_millis(options.pause_ms));
    shout.initialize().await?;
    let routes = synapse_http::router(shout).into_router();
    let listening = tokio::net::UnixListener::bind(&options.socket).map_err(|error| {
        Error::new(
            ErrorKind::Unavailable,
            "listen_failed",
            format!("cannot listen on {}", options.socket.display()),
        )
        .with_hint("its directory is the one that the miner mounts")
        .with_source(error)
    })?;
    let mut stop = signal(SignalKind::terminate())
        .map_err(|error| Error::internal("no_signals", "cannot wait for SIGTERM").with_source(error))?;
    println!("ready unix://{}", options.socket.display());
    axum::serve(listening, routes)
        .with_graceful_shutdown(async move {
            stop.recv().await;
        })
        .await
        .map_err(|error| Error::internal("serve_failed", "cannot serve any longer").with_source(error))
}

#[cfg(not(unix))]
async fn run(_: Options) -> Result<(), Error> {
    Err(Error::unsupported(
        "no_unix_sockets",
        "a module in a container listens on a Unix socket, which this system does not have",
    ))
}
