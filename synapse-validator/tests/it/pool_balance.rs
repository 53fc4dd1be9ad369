//! Who gets how many requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_core::{
    BlockNumber, Directory, Endpoint, Error, InferenceModule, Member, MetricsData, Role, Watch,
};
use synapse_validator::pool::{Load, Meter, MinerPool, Observation, P2c, PeakEwma};
use tokio::time::sleep;

use crate::fleet::{Fleet, Miner, ask, read, reply};

fn answering_after(latency: Duration) -> Miner {
    Miner::new(move |_| async move {
        sleep(latency).await;
        Ok(reply())
    })
}

async fn pool(fleet: &Fleet) -> MinerPool {
    let pool = fleet.pool().balance(P2c::new(PeakEwma::default()).seeded(7));
    pool.initialize().await.unwrap();
    pool
}

/// `clients` clients who each ask `requests` times, one after another.
async fn ask_often(pool: &Arc<MinerPool>, clients: usize, requests: usize) {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..requests {
                    if let Ok(output) = pool.run_inference(ask("m")).await {
                        read(output).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn equal_miners_get_equal_shares() {
    let [a, b, c, d] = [(); 4].map(|()| answering_after(Duration::from_millis(100)));
    let fleet = Fleet::of([("a", &a), ("b", &b), ("c", &c), ("d", &d)]);
    ask_often(&Arc::new(pool(&fleet).await), 16, 50).await;
    for miner in [&a, &b, &c, &d] {
        assert!((120..=280).contains(&miner.asked()), "{} of 800", miner.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_miners_share_falls() {
    let [a, b, c] = [(); 3].map(|()| answering_after(Duration::from_millis(50)));
    let slow = answering_after(Duration::from_secs(1));
    let fleet = Fleet::of([("a", &a), ("b", &b), ("c", &c), ("slow", &slow)]);
    ask_often(&Arc::new(pool(&fleet).await), 8, 100).await;
    assert!(slow.asked() < 40, "{} of 800", slow.asked());
    assert!(slow.asked() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_fails_fast_attracts_nobody() {
    let [a, b, c] = [(); 3].map(|()| answering_after(Duration::from_millis(200)));
    let failing = Miner::failing(Error::broken("scripted", "a scripted failure"));
    let fleet = Fleet::of([("a", &a), ("b", &b), ("c", &c), ("failing", &failing)]);
    ask_often(&Arc::new(pool(&fleet).await), 8, 100).await;
    assert!(failing.asked() < 20, "{} of 800", failing.asked());
}

#[tokio::test(start_paused = true)]
async fn a_choice_among_ten_thousand_compares_two() {
    #[derive(Debug)]
    struct Counting(Arc<AtomicUsize>);
    impl Load for Counting {
        fn meter(&self) -> Box<dyn Meter> {
            Box::new(Self(self.0.clone()))
        }
    }
    impl Meter for Counting {
        fn load(&self, in_flight: u32) -> f64 {
            self.0.fetch_add(1, Ordering::Relaxed);
            f64::from(in_flight)
        }
        fn observe(&self, _: Observation) {}
    }

    let endpoint = Endpoint::http("http://127.0.0.1:1").unwrap();
    let members = (0..10_000)
        .map(|number| Member::new(format!("miner-{number:05}"), Role::Miner).with_endpoint(endpoint.clone()));
    let directory = Watch::constant(Directory::new(members, BlockNumber(1)));
    let miner = Miner::good();
    let connected = miner.clone();
    let loads = Arc::new(AtomicUsize::new(0));
    let pool = MinerPool::watch(directory, move |_: &Member| {
        Ok(Arc::new(connected.clone()) as Arc<dyn InferenceModule>)
    })
    .balance(P2c::new(Counting(loads.clone())));
    pool.initialize().await.unwrap();
    let ready = |metrics: &MetricsData| metrics.get("pool.ready", &[]);
    assert_eq!(ready(&pool.get_metrics()), Some(10_000.0));
    loads.store(0, Ordering::Relaxed);
    for _ in 0..500 {
        assert!(pool.run_inference(ask("m")).await.is_ok());
    }
    assert!(loads.load(Ordering::Relaxed) <= 1_000);
    assert_eq!(miner.initialized(), 10_000);
}
