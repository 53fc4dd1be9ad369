//! What a miner's word about its room is worth.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_core::{Capacity, InferenceModule};
use synapse_validator::pool::{MinerPool, P2c, PeakEwma};
use tokio::{sync::Semaphore, time::sleep};

use crate::fleet::{Fleet, Miner, ask, read, reply};

/// A miner that works on so many requests at once, each for 200 ms, and lets the others wait: how many had to is counted.
fn working_on(slots: usize, waited: &Arc<AtomicUsize>) -> Miner {
    let (places, waited) = (Arc::new(Semaphore::new(slots)), waited.clone());
    Miner::new(move |_| {
        let (places, waited) = (places.clone(), waited.clone());
        async move {
            if places.available_permits() == 0 {
                waited.fetch_add(1, Ordering::Relaxed);
            }
            let _place = places.acquire_owned().await.unwrap();
            sleep(Duration::from_millis(200)).await;
            Ok(reply())
        }
    })
}

/// What each miner was asked, and how many requests had to wait, where these miners with so many places claim this.
async fn shares<const N: usize>(
    miners: [(usize, Option<Capacity>); N],
    clients: usize,
) -> (Vec<usize>, usize) {
    let waited = Arc::new(AtomicUsize::new(0));
    let miners = miners.map(|(slots, claim)| working_on(slots, &waited).claiming(claim));
    let fleet = Fleet::of([]);
    for (at, miner) in miners.iter().enumerate() {
        fleet.join(&format!("miner-{at}"), miner);
    }
    let pool = fleet.pool().balance(P2c::new(PeakEwma::default()).seeded(7));
    pool.initialize().await.unwrap();
    let pool = Arc::new(pool);
    let clients: Vec<_> = (0..clients)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                // Not all at the same moment.
                sleep(Duration::from_millis(number as u64 * 7)).await;
                for _ in 0..100 {
                    read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
                    sleep(Duration::from_millis(50)).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let asked = miners.iter().map(Miner::asked).collect();
    (asked, waited.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_claimed_places_gain_nothing() {
    let others = (2, None);
    let (honest, _) = shares([(2, None), others, others], 12).await;
    let (boasting, _) = shares([(2, Some(Capacity::new(1_000, 0))), others, others], 12).await;
    assert_eq!(honest, boasting);
}

#[tokio::test(start_paused = true)]
async fn who_says_how_many_places_it_has_keeps_fewer_waiting() {
    let (silent, waited) = shares([(1, None), (2, None), (8, None)], 8).await;
    let claims = |slots| Some(Capacity::new(u32::try_from(slots).unwrap(), 0));
    let (said, waited_less) = shares([(1, claims(1)), (2, claims(2)), (8, claims(8))], 8).await;
    assert!(
        waited_less * 5 < waited * 4,
        "{waited_less} of {said:?}, {waited} of {silent:?}"
    );
    assert!(said[0] < silent[0] && said[2] > silent[2], "{said:?} {silent:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_it_is_full_gets_less_and_is_asked_where_nobody_else_is() {
    let full = Some(Capacity::new(2, 2).with_waiting(10));
    let (asked, _) = shares([(2, full), (2, None), (2, None)], 3).await;
    assert!(asked[0] * 4 < asked[1], "{asked:?}");
    let (alone, _) = shares([(2, full)], 2).await;
    assert_eq!(alone, [200]);
}

#[tokio::test(start_paused = true)]
async fn what_miners_claim_is_shown() {
    let claim = Capacity::new(4, 3).with_waiting(2);
    let (claims, silent) = (Miner::good().claiming(Some(claim)), Miner::good());
    let fleet = Fleet::of([("claims", &claims), ("silent", &silent)]);
    let pool: MinerPool = fleet.pool();
    pool.initialize().await.unwrap();
    assert_eq!(pool.capacity_of(&"claims".into()), Some(claim));
    assert_eq!(pool.capacity_of(&"silent".into()), None);
    let metrics = pool.get_metrics();
    let get = |name: &str, miner| metrics.get(name, &[("miner", miner)]);
    assert_eq!(get("pool.miner_slots", "claims"), Some(4.0));
    assert_eq!(get("pool.miner_busy", "claims"), Some(3.0));
    assert_eq!(get("pool.miner_waiting", "claims"), Some(2.0));
    assert_eq!(get("pool.miner_slots", "silent"), None);
}
