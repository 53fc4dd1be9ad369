//! A place that is only given back by those who stay to the end.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use synapse_core::{Body, Chunk, Output};
use tokio::{sync::Semaphore, task::yield_now};

use super::{Broken, claims, honest_deltas};

/// Has four places, and leaks the one of a caller who leaves before the reply began.
pub(crate) fn leaks_its_slot_early() -> Broken {
    leaky(true)
}

/// Has four places, and leaks the one of a caller who leaves once it began.
pub(crate) fn leaks_its_slot_mid_stream() -> Broken {
    leaky(false)
}

fn leaky(early: bool) -> Broken {
    let places = Arc::new(Semaphore::new(4));
    Broken::answering(move |input| {
        let places = places.clone();
        async move {
            claims().check_input(&input)?;
            places.acquire().await.expect("never closed").forget();
            if early {
                yield_now().await;
            }
            let deltas = honest_deltas();
            let end = deltas.len() - 1;
            let chunks = stream::iter(deltas).enumerate().map(move |(at, delta)| {
                if at < end {
                    return Ok(Chunk::delta(delta));
                }
                places.add_permits(1);
                Ok(Chunk::delta(delta).into_last())
            });
            Ok(Output::new(Body::new(chunks)))
        }
    })
}
