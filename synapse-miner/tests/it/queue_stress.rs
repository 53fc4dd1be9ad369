//! Whoever comes, leaves or fails, in whatever order: places and positions come back exactly.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use proptest::{collection::vec, prelude::*};
use synapse_core::{Caller, Deadline, InferenceModule};
use synapse_miner::QueueLayer;
use tokio::{
    runtime::Builder,
    time::{Instant, sleep, timeout},
};

use crate::engine::{Engine, ask, whole};

/// One request: whose it is, when he comes, how long his request takes, when he leaves, and his deadline.
#[derive(Debug, Clone)]
struct Request {
    who: u8,
    comes: u64,
    takes: u64,
    fault: &'static str,
    leaves: Option<u64>,
    deadline: Option<u64>,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let fault = prop_oneof![6 => Just(""), 1 => Just(" refuse"), 1 => Just(" panic"), 1 => Just(" break"), 1 => Just(" burst")];
    let one = (
        0..4_u8,
        0..20_u64,
        0..8_u64,
        fault,
        proptest::option::of(0..20_u64),
        proptest::option::of(1..20_u64),
    );
    vec(one, 1..40).prop_map(|requests| {
        let request = |(who, comes, takes, fault, leaves, deadline)| Request {
            who,
            comes,
            takes,
            fault,
            leaves,
            deadline,
        };
        requests.into_iter().map(request).collect()
    })
}

async fn call(module: &impl InferenceModule, number: usize, request: &Request) {
    sleep(Duration::from_secs(request.comes)).await;
    let mut input = ask(&format!("{number} {}{}", request.takes, request.fault));
    let caller = Caller::new(format!("c{}", request.who));
    input.extensions_mut().insert(caller);
    if let Some(seconds) = request.deadline {
        input
            .extensions_mut()
            .insert(Deadline::at(Instant::now() + Duration::from_secs(seconds)));
    }
    let answer = whole(module, input);
    match request.leaves {
        Some(seconds) => drop(timeout(Duration::from_secs(seconds), answer).await),
        None => drop(answer.await),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn places_and_positions_come_back_exactly(requests in requests(), places in 1..4_usize, waiting in 0..6_usize) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (engine, queue) = (Engine::default(), QueueLayer::bounded(waiting).concurrency(places));
            let module = engine.behind(&queue);
            join_all(requests.iter().enumerate().map(|(number, request)| call(&module, number, request))).await;
            prop_assert!(engine.most() <= places, "{} under way at once", engine.most());
            prop_assert_eq!((queue.waiting(), queue.in_flight(), engine.running()), (0, 0, 0));
            // Every place still works: so many at once, and so many in line.
            let again = join_all((0..places + waiting).map(|_| whole(&module, ask("again 2")))).await;
            prop_assert!(again.iter().all(Result::is_ok), "{again:?}");
            let metrics = module.get_metrics();
            let admitted = metrics.get("queue.admitted", &[]).unwrap();
            prop_assert_eq!(admitted, engine.started().len() as f64);
            Ok(())
        })?;
    }

    /// Among those who stay, whoever comes first starts first.
    #[test]
    fn the_line_is_fair(comes in vec(0..10_u64, 1..30), places in 1..4_usize) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (engine, queue) = (Engine::default(), QueueLayer::bounded(64).max_wait(Duration::MAX).concurrency(places));
            let module = engine.behind(&queue);
            let mut order: Vec<usize> = (0..comes.len()).collect();
            order.sort_by_key(|number| comes[*number]);
            join_all(comes.iter().enumerate().map(|(number, comes)| {
                let module = &module;
                // A millisecond apart, so that nobody comes at the same time as another.
                let comes = Duration::from_secs(*comes) + Duration::from_millis(number as u64);
                async move {
                    sleep(comes).await;
                    whole(module, ask(&format!("{number} 3"))).await
                }
            }))
            .await;
            let expected: Vec<String> = order.iter().map(ToString::to_string).collect();
            prop_assert_eq!(engine.started(), expected);
            Ok(())
        })?;
    }
}

/// Real threads: callers who leave at random moments while places go from hand to hand, and their number changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_between_threads() {
    let (engine, queue) = (Engine::default(), QueueLayer::bounded(8).concurrency(2));
    let module = engine.behind(&queue);
    let callers: Vec<_> = (0..64_u64)
        .map(|number| {
            let (module, queue) = (module.clone(), queue.clone());
            tokio::spawn(async move {
                for round in 0..50 {
                    queue.set_places(1 + usize::try_from((number + round) % 2).unwrap());
                    let patience = Duration::from_micros((number * 31 + round * 17) % 400);
                    let mut input = ask("a 0");
                    input
                        .extensions_mut()
                        .insert(Caller::new(format!("c{}", number % 5)));
                    let request = async {
                        let mut output = module.run_inference(input).await?;
                        while output.body.next().await.is_some() {}
                        Ok::<(), synapse_core::Error>(())
                    };
                    drop(timeout(patience, request).await);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!((queue.waiting(), queue.in_flight(), engine.running()), (0, 0, 0));
    assert!(engine.most() <= 2, "{} under way at once", engine.most());
    queue.set_places(2);
    let again = join_all((0..10).map(|_| whole(&module, ask("again 0")))).await;
    assert!(again.iter().all(Result::is_ok), "{again:?}");
}
