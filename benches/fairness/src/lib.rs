//! Many who ask an engine that takes no time, so that what is measured is what stands before it.

use std::cell::Cell;

use futures_util::{StreamExt, future::join_all};
use synapse_core::{
    Body, Caller, Chunk, Delta, InferenceModule, Input, Message, ModuleExt, Output, testkit::Scripted,
};
use synapse_miner::{
    AdmissionLayer, CircuitBreakerLayer, QueueLayer,
    monitor::{ResourceMonitor, Resources},
};
use tokio::task::yield_now;
use tower::ServiceBuilder;

/// An engine that answers with one chunk as soon as it is asked.
pub fn engine() -> Scripted {
    Scripted::new(|_| async { Ok(Output::new(Body::once(Chunk::delta(Delta::text("yes"))))) })
}

/// The same behind a queue of one place.
pub fn queued() -> impl InferenceModule {
    engine().with(queue())
}

/// The same behind everything that a miner puts there.
pub fn guarded() -> impl InferenceModule {
    let monitor = ResourceMonitor::fixed(Resources::default());
    engine().with(
        ServiceBuilder::new()
            .layer(AdmissionLayer::new(monitor).ceiling(1))
            .layer(queue())
            .layer(CircuitBreakerLayer::default()),
    )
}

fn queue() -> QueueLayer {
    QueueLayer::bounded(4096).concurrency(1)
}

/// Asks `requests` times: so many `clients` at once, each of whom is one of so many `callers`.
///
/// # Panics
/// Where one of them is refused.
pub async fn ask(module: &dyn InferenceModule, clients: usize, callers: usize, requests: u64) {
    let left = Cell::new(requests);
    let take = || left.get().checked_sub(1).map(|fewer| left.set(fewer)).is_some();
    join_all((0..clients).map(|client| {
        let caller = Caller::new(format!("caller{}", client % callers));
        let take = &take;
        async move {
            while take() {
                let mut input = Input::chat("scripted", [Message::user("Go on.")]);
                input.extensions_mut().insert(caller.clone());
                let mut output = module
                    .run_inference(input)
                    .await
                    .expect("the line is long enough");
                // Everybody else comes in line while this one has the place.
                yield_now().await;
                while output.body.next().await.is_some() {}
            }
        }
    }))
    .await;
}
