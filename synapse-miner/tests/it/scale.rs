//! Replicas that start slowly, do not start, die, and come and go under load.

mod fake;

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::StreamExt;
use synapse_core::{Capacity, Error, Health, HealthStatus, InferenceModule, Input, Message, ModuleExt};
use synapse_miner::{
    QueueLayer,
    scale::{ReplicaEvent, ReplicaSet, ScalePolicy},
};
use tokio::time::{Instant, sleep};

use self::fake::Fake;

type Events = Arc<Mutex<Vec<String>>>;

fn noting(set: ReplicaSet<Fake>) -> (ReplicaSet<Fake>, Events) {
    let events = Events::default();
    let noted = events.clone();
    let set = set.on_event(move |event: &ReplicaEvent| noted.lock().unwrap().push(event.to_string()));
    (set, events)
}

async fn whole(module: &impl InferenceModule) -> Result<(), String> {
    let input = Input::chat("m", [Message::user("hello")]);
    let code = |error: Error| error.code().to_owned();
    let mut output = module.run_inference(input).await.map_err(code)?;
    while let Some(chunk) = output.body.next().await {
        chunk.map_err(code)?;
    }
    Ok(())
}

/// Waits for a condition, a simulated minute at most.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// So many clients ask one request after another until `end`; all of them come back with what failed.
async fn load(
    module: &(impl InferenceModule + Clone),
    clients: usize,
    time: Duration,
) -> (usize, Vec<String>) {
    let end = Instant::now() + time;
    let clients = (0..clients).map(|_| {
        let module = module.clone();
        tokio::spawn(async move {
            let (mut done, mut failed) = (0, Vec::new());
            while Instant::now() < end {
                match whole(&module).await {
                    Ok(()) => done += 1,
                    Err(code) => failed.push(code),
                }
            }
            (done, failed)
        })
    });
    let (mut done, mut failed) = (0, Vec::new());
    for client in clients.collect::<Vec<_>>() {
        let (more, codes) = client.await.unwrap();
        done += more;
        failed.extend(codes);
    }
    (done, failed)
}

#[tokio::test(start_paused = true)]
async fn from_one_to_four_and_back_under_load_without_a_failed_request() {
    let fake = Fake::default();
    *fake.0.starts_in.lock().unwrap() = Duration::from_secs(5);
    let queue = QueueLayer::bounded(256);
    let policy = ScalePolicy::between(1, 4).down_after(Duration::from_secs(20));
    let (set, events) = noting(ReplicaSet::new(fake.clone(), 1).scaled_by(policy, queue.clone()));
    let set = Arc::new(set);
    let module = set.clone().with(queue.clone()).attach(queue.clone());
    module.initialize().await.unwrap();
    // What a directory is told is what there may be, and stays; how much it is now is capacity, and the queue's places.
    let claimed = module.get_capabilities();
    assert_eq!((set.ready(), claimed.concurrency), (1, Some(8)));
    assert_eq!(
        (claimed.digest(), queue.status().places),
        (module.get_capabilities().digest(), 2)
    );

    let (done, failed) = load(&module, 24, Duration::from_secs(120)).await;
    assert_eq!(failed, [] as [String; 0]);
    assert_eq!((set.wanted(), set.ready()), (4, 4), "{events:?}");
    assert_eq!(
        (module.get_capabilities(), queue.status().places),
        (claimed.clone(), 8)
    );
    // Two a second at first, eight at the end.
    assert!(done > 700, "{done}");

    let (_, failed) = load(&module, 1, Duration::from_secs(200)).await;
    assert_eq!(failed, [] as [String; 0]);
    until("back to one", || fake.alive().len() == 1).await;
    assert_eq!((set.wanted(), fake.alive()), (1, vec![0]));
    assert_eq!((module.get_capabilities(), queue.status().places), (claimed, 2));
    assert_eq!((fake.0.cut_off.load(SeqCst), fake.0.most.load(SeqCst)), (0, 4));
    let metrics = module.get_metrics();
    let get = |name: &str| metrics.get(name, &[]).unwrap();
    assert_eq!((get("scale.started"), get("scale.stopped")), (4.0, 3.0));
    assert!(get("fake.asked") >= 700.0, "what ended replicas counted stays");
    assert_eq!(get("fake.now"), 1.0, "what they measured does not");
    module.shutdown().await.unwrap();
    assert_eq!(fake.alive(), [] as [u32; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_is_replaced_and_what_had_no_content_is_answered_by_another() {
    let fake = Fake::default();
    let (set, events) = noting(ReplicaSet::new(fake.clone(), 2));
    let set = Arc::new(set);
    set.initialize().await.unwrap();
    until("both are ready", || set.ready() == 2).await;
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let set = set.clone();
            tokio::spawn(async move { whole(&set).await })
        })
        .collect();
    sleep(Duration::from_millis(100)).await;
    fake.replica(1).die();
    for request in asking {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    let died = Instant::now();
    until("it is out", || set.ready() == 1).await;
    assert_eq!(
        set.health_check().await.unwrap().reason(),
        Some("1 of 2 replicas are ready")
    );
    until("it is replaced", || set.ready() == 2).await;
    assert!(died.elapsed() < Duration::from_secs(10), "{:?}", died.elapsed());
    let events = events.lock().unwrap().clone();
    assert!(
        events
            .iter()
            .any(|line| line.starts_with("replica 1 is not asked any more: nobody listens")),
        "{events:?}"
    );
    assert!(
        events
            .iter()
            .any(|line| line.starts_with("replica 1 stayed unwell and is replaced")),
        "{events:?}"
    );
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_unwell_for_a_moment_is_asked_again_and_not_replaced() {
    let fake = Fake::default();
    let (set, events) = noting(ReplicaSet::new(fake.clone(), 2));
    set.initialize().await.unwrap();
    until("both are ready", || set.ready() == 2).await;
    fake.replica(0)
        .says(Some(Health::unhealthy("it loads its model")));
    until("it is out", || set.ready() == 1).await;
    assert_eq!(whole(&set).await, Ok(()));
    assert_eq!(fake.replica(0).asked.load(SeqCst), 0);
    fake.replica(0).says(None);
    until("it is back", || set.ready() == 2).await;
    assert_eq!(fake.0.starts.load(SeqCst), 2);
    assert!(
        events
            .lock()
            .unwrap()
            .contains(&"replica 0 is well again".to_owned()),
        "{events:?}"
    );
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_start_is_told_and_tried_again() {
    let fake = Fake::default();
    fake.0.fails.store(3, SeqCst);
    let (set, events) = noting(ReplicaSet::new(fake.clone(), 1));
    let error = set.initialize().await.unwrap_err();
    assert_eq!(error.code(), "no_image");
    assert_eq!(whole(&set).await, Err("no_replica_ready".to_owned()));
    assert_eq!(
        set.health_check().await.unwrap().status(),
        HealthStatus::Unhealthy
    );
    until("the fourth start is a success", || set.ready() == 1).await;
    assert_eq!(whole(&set).await, Ok(()));
    let lines = events.lock().unwrap().clone();
    assert_eq!(
        lines[1],
        "replica 0 did not start: a start that was told to fail; it is tried again in 1.0 s"
    );
    assert_eq!(set.get_metrics().get("scale.start_failures", &[]), Some(3.0));
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_whose_start_panics_is_tried_again_as_late_as_others() {
    let fake = Fake::default();
    fake.0.panics.store(2, SeqCst);
    let (set, events) = noting(ReplicaSet::new(fake.clone(), 1));
    assert_eq!(set.initialize().await.unwrap_err().code(), "module_panicked");
    let began = Instant::now();
    until("the third start is a success", || set.ready() == 1).await;
    assert!(began.elapsed() >= Duration::from_millis(1_500), "{events:?}");
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_request_goes_to_the_replica_that_is_least_busy() {
    let fake = Fake::default();
    let set = Arc::new(ReplicaSet::new(fake.clone(), 3));
    set.initialize().await.unwrap();
    until("all are ready", || set.ready() == 3).await;
    let (_, failed) = load(&set, 6, Duration::from_secs(30)).await;
    assert_eq!(failed, [] as [String; 0]);
    for number in 0..3 {
        let asked = fake.replica(number).asked.load(SeqCst);
        assert!((50..=70).contains(&asked), "replica {number}: {asked}");
    }
    let capacity = set.health_check().await.unwrap().capacity().unwrap();
    assert_eq!((capacity.slots, capacity.busy), (Some(6), 0));
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shut_down_it_drains_and_dropped_it_lets_go() {
    let fake = Fake::default();
    let set = Arc::new(ReplicaSet::new(fake.clone(), 2));
    set.initialize().await.unwrap();
    until("both are ready", || set.ready() == 2).await;
    let asked = set.clone();
    let asking = tokio::spawn(async move { whole(&asked).await });
    sleep(Duration::from_millis(100)).await;
    set.shutdown().await.unwrap();
    set.shutdown().await.unwrap();
    assert_eq!(asking.await.unwrap(), Ok(()));
    assert_eq!((fake.alive(), fake.0.cut_off.load(SeqCst)), (vec![], 0));
    assert_eq!(whole(&set).await, Err("no_replica_ready".to_owned()));

    // It starts again, too.
    set.initialize().await.unwrap();
    assert_eq!(whole(&set).await, Ok(()));
    let held = fake.replica(0);
    drop(set);
    tokio::task::yield_now().await;
    // The test holds one, and the fake's own list the other.
    until("nobody else holds it", || Arc::strong_count(&held) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_wanted_while_it_starts_is_ended_once_it_did() {
    let fake = Fake::default();
    *fake.0.starts_in.lock().unwrap() = Duration::from_secs(5);
    let set = Arc::new(ReplicaSet::new(fake.clone(), 2));
    let starting = tokio::spawn({
        let set = set.clone();
        async move { set.initialize().await }
    });
    sleep(Duration::from_secs(1)).await;
    starting.abort();
    set.shutdown().await.unwrap();
    assert_eq!((fake.0.starts.load(SeqCst), fake.alive()), (2, vec![]));
    assert_eq!(fake.0.ended.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn what_absurd_replicas_say_overflows_nothing() {
    let fake = Fake::default();
    let set = ReplicaSet::new(fake.clone(), 2).start_within(Duration::MAX);
    set.initialize().await.unwrap();
    until("both are ready", || set.ready() == 2).await;
    let absurd = Capacity::new(u32::MAX, u32::MAX).with_waiting(u32::MAX);
    for number in 0..2 {
        fake.replica(number)
            .says(Some(Health::ready().with_capacity(absurd)));
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        set.get_metrics().get("scale.slots", &[]),
        Some(f64::from(u32::MAX))
    );
    assert_eq!(set.health_check().await.unwrap().capacity(), Some(absurd));
    whole(&set).await.unwrap();
    set.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_code_panics_is_not_started_over_and_over_at_once() {
    let fake = Fake::default();
    fake.0.claims_panic.store(true, SeqCst);
    let set = ReplicaSet::new(fake.clone(), 1).start_within(Duration::from_secs(10));
    // The fake's list would take the next for a second one with the same number.
    let forgets = async {
        loop {
            fake.0.alive.lock().unwrap().clear();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let initialized = tokio::select! {
        initialized = set.initialize() => initialized,
        () = forgets => unreachable!("it never ends"),
    };
    assert_eq!(initialized.unwrap_err().code(), "no_replica_ready");
    let starts = fake.0.starts.load(SeqCst);
    assert!((10..=30).contains(&starts), "{starts} starts in 13 seconds");
    fake.0.alive.lock().unwrap().clear();
    fake.0.claims_panic.store(false, SeqCst);
    until("it is ready", || set.ready() == 1).await;
    set.shutdown().await.unwrap();
}
