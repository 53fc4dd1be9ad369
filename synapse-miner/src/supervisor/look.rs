//! What is asked of an engine that runs.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    time::Duration,
};

use synapse_core::Error;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{EngineLoad, EngineSpec, Shared, WarmUp, ask, proc, watchdog::Sight};

/// The longest wait for an answer to one look.
const LOOK: Duration = Duration::from_secs(2);
/// How often one that starts is asked whether it is ready.
const ASK: Duration = Duration::from_millis(50);

/// Waits until the probe succeeds.
pub(super) async fn answers(address: SocketAddr, probe: &str) {
    loop {
        if ask::get(address, probe, LOOK)
            .await
            .is_ok_and(|reply| reply.status == 200)
        {
            return;
        }
        sleep(ASK).await;
    }
}

pub(super) async fn warm(
    spec: &EngineSpec,
    address: SocketAddr,
    warm_up: &WarmUp,
    limit: Duration,
) -> Result<(), Error> {
    let failed = |why: String| {
        Error::unavailable(
            "engine_not_warm",
            format!("{} did not answer its first request: {why}", spec.name),
        )
        .with_hint("look whether it has the model that it was asked for")
    };
    let reply = ask::post(address, &warm_up.path, &warm_up.body, limit).await;
    let reply = reply.map_err(|error| failed(error.to_string()))?;
    match reply.status {
        200..=299 => Ok(()),
        status => Err(failed(format!("it replied {status}"))),
    }
}

/// What one look at it sees.
pub(super) async fn look(
    spec: &EngineSpec,
    shared: &Shared,
    address: SocketAddr,
    pid: u32,
    suspicious: bool,
) -> Sight {
    let (probe, load) = tokio::join!(
        ask::get(address, &spec.probe, LOOK),
        EngineLoad::read(spec.kind, address, LOOK)
    );
    let mut mark = DefaultHasher::new();
    shared.traffic.arrived().hash(&mut mark);
    let mut sight = Sight {
        // One that is busy with its model may say that it is not ready, and lives.
        answered: probe.is_ok(),
        shows_progress: spec.kind.shows_progress(),
        ..Sight::default()
    };
    let awaited = shared.traffic.awaited() > 0;
    match load {
        Ok(load) => {
            load.mark.hash(&mut mark);
            // What it does not say, requests of ours show.
            sight.shows_progress &= load.busy.is_some();
            sight.busy = load.busy.map_or(awaited, |busy| busy > 0);
            shared.status.send_modify(|status| {
                let now = Instant::now();
                let load = match &status.load {
                    Some((then, before)) => load.paced(before, now.duration_since(*then)),
                    None => load,
                };
                status.load = Some((now, load));
            });
        }
        Err(_) => {
            let before = shared.status.borrow().load.as_ref().map(|(_, load)| load.mark);
            before.unwrap_or_default().hash(&mut mark);
            // It says so between two steps: one that does not say works on a long one, or hangs.
            sight.busy = true;
        }
    }
    sight.mark = mark.finish();
    if suspicious || !sight.answered {
        let stopped = spawn_blocking(move || proc::group(pid).iter().any(|stat| stat.is_stopped()));
        sight.stopped = stopped.await.unwrap_or(false);
    }
    sight
}
