//! The miner's whole stack, asked for ten times what it can do. Time is simulated.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::StreamExt;
use synapse_core::{InferenceModule, ModuleExt, layers::DeadlineLayer};
use synapse_miner::{
    AdmissionLayer, CircuitBreakerLayer, QueueLayer,
    monitor::{ResourceMonitor, Resources},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tower::ServiceBuilder;

use crate::paced::{Dice, Tally, paced, request, request_of};

/// Four at once; a second a request on average.
const PACE: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(8);

struct Miner {
    queue: QueueLayer,
    admission: AdmissionLayer,
    running: Arc<AtomicUsize>,
}

impl Miner {
    fn new() -> Self {
        Self {
            queue: QueueLayer::bounded(64).concurrency(4),
            admission: AdmissionLayer::new(ResourceMonitor::fixed(Resources::default())).memory_headroom(0),
            running: Arc::default(),
        }
    }

    fn module(&self) -> impl InferenceModule + Clone {
        paced(&self.running, |_| PACE)
            .with(
                ServiceBuilder::new()
                    .layer(DeadlineLayer::new(DEADLINE))
                    .layer(self.admission.clone())
                    .layer(self.queue.clone())
                    .layer(CircuitBreakerLayer::default()),
            )
            .attach(self.admission.clone())
            .attach(self.queue.clone())
    }
}

/// So many requests a second, of eight callers, for two minutes: tokens a second in replies that were whole in time.
async fn offer(per_second: u32) -> (f64, Tally) {
    let miner = Miner::new();
    let (module, tally, start, mut dice) = (miner.module(), Tally::default(), Instant::now(), Dice::new(11));
    let mut all = Vec::new();
    while start.elapsed() < Duration::from_secs(120) {
        let (module, tally) = (module.clone(), tally.clone());
        let caller = format!("c{}", dice.roll(0, 8));
        let input = request_of(&caller, dice.roll(20, 181));
        all.push(tokio::spawn(
            async move { tally.ask(&module, "all", input).await },
        ));
        // Distances at random, as of callers who know nothing of each other.
        sleep(Duration::from_micros(u64::from(
            dice.roll(1, 2_000_000 / per_second),
        )))
        .await;
    }
    for one in all {
        one.await.unwrap();
    }
    (tally.tokens("all") / start.elapsed().as_secs_f64(), tally)
}

#[tokio::test(start_paused = true)]
async fn ten_times_too_much_leaves_goodput_where_it_was() {
    let mut peak: f64 = 0.0;
    for per_second in [3, 4, 5, 6] {
        peak = peak.max(offer(per_second).await.0);
    }
    let (goodput, tally) = offer(40).await;
    let (p50, p99) = (tally.quantile(50), tally.quantile(99));
    println!(
        "overload 10x: {:.1} % of the peak of {peak:.0} tokens/s; p50 {p50:?}, p99 {p99:?} of {DEADLINE:?}; refused {:?}",
        100.0 * goodput / peak,
        tally.refused()
    );
    assert!(goodput >= 0.85 * peak, "{goodput} of {peak}");
    let refused = tally.refused();
    let (all, late): (u64, u64) = (
        refused.values().sum(),
        refused.get("deadline_exceeded").copied().unwrap_or(0),
    );
    let typed = [
        "queue_full",
        "queue_displaced",
        "deadline_unreachable",
        "deadline_exceeded",
    ];
    assert!(
        refused.keys().all(|code| typed.contains(&code.as_str())),
        "{refused:?}"
    );
    assert!(
        late * 100 <= all,
        "{late} of {all} were told only at their deadline"
    );
    assert!(p99 <= DEADLINE, "{p99:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_leave_take_nothing_along() {
    let miner = Miner::new();
    let module = miner.module();
    let (tasks, mut dice) = (Handle::current().metrics().num_alive_tasks(), Dice::new(3));
    let mut callers = Vec::new();
    for _ in 0..10_000 {
        let (module, patience) = (
            module.clone(),
            Duration::from_millis(u64::from(dice.roll(0, 3_000))),
        );
        let input = request_of(&format!("c{}", dice.roll(0, 50)), dice.roll(20, 181));
        callers.push(tokio::spawn(async move {
            let reads = async {
                let mut output = module.run_inference(input).await?;
                while output.body.next().await.is_some() {}
                Ok::<(), synapse_core::Error>(())
            };
            drop(timeout(patience, reads).await);
        }));
        if dice.roll(0, 20) == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
    let status = miner.queue.status();
    assert_eq!((status.in_flight, status.waiting), (0, 0));
    assert_eq!(miner.running.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert!(
        status
            .callers
            .iter()
            .all(|caller| caller.waiting + caller.in_flight == 0)
    );
    assert_eq!(module.get_metrics().get("admission.in_flight", &[]), Some(0.0));
    // And every place works.
    let tally = Tally::default();
    futures_util::future::join_all((0..8).map(|_| tally.ask(&module, "after", request(10)))).await;
    assert_eq!(tally.tokens("after"), 80.0);
}
