//! Who is let into a pool, what it says before everybody was tried, and how it starts again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_core::{
    BlockNumber, Directory, Endpoint, Error, ErrorKind, InferenceModule, Member, ModuleCapabilities, Retry,
    Role, Watch,
};
use synapse_validator::MinerPool;
use tokio::time::{sleep, timeout};

use crate::{
    fleet::{Fleet, Miner, ask, chat_with, endless_reply},
    log::Log,
};

#[tokio::test(start_paused = true)]
async fn a_model_is_not_unknown_before_everybody_was_tried() {
    let (good, hanging) = (Miner::good(), Miner::hanging());
    let fleet = Fleet::of([("a", &good), ("b", &hanging)]);
    let pool = fleet.pool().startup_wait(Duration::from_secs(2));
    pool.initialize().await.unwrap();
    let soon = pool.run_inference(ask("x")).await.unwrap_err();
    assert_eq!(
        (soon.kind(), soon.code(), soon.retry()),
        (
            ErrorKind::Unavailable,
            "no_miner_ready",
            Retry::After(Duration::from_secs(1))
        )
    );
    assert!(pool.run_inference(ask("m")).await.is_ok());
    sleep(Duration::from_secs(10)).await;
    let late = pool.run_inference(ask("x")).await.unwrap_err();
    assert_eq!((late.code(), late.retry()), ("model_not_found", Retry::Never));
}

fn speaking(interface: &str) -> ModuleCapabilities {
    let mut capabilities = chat_with("m");
    capabilities.interfaces = vec![interface.parse().unwrap()];
    capabilities
}

#[tokio::test(start_paused = true)]
async fn who_speaks_another_interface_is_refused_by_name_of_both_versions() {
    let log = Log::default();
    let _recording = log.record();
    let (old, new) = (
        Miner::good().serving(speaking("1.7.2")),
        Miner::good().serving(speaking("2.0.0")),
    );
    let fleet = Fleet::of([("a", &new), ("b", &old)]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"b".into()));
    assert_eq!(pool.get_metrics().get("pool.ready", &[]), Some(1.0));
    sleep(Duration::from_secs(300)).await;
    let text = log.text();
    let warnings: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("interface"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("miner=a") && warnings[0].contains("2.0.0") && warnings[0].contains("^1"),
        "{warnings:?}"
    );

    // Whoever updates is let in, and who changes under way is not asked any more.
    new.clone().serving(speaking("1.0.0"));
    old.clone().serving(speaking("2.1.0"));
    sleep(Duration::from_secs(60)).await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"a".into()));
    assert_eq!(pool.get_metrics().get("pool.ready", &[]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_may_ask_for_another_interface() {
    let miner = Miner::good().serving(speaking("2.1.0"));
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.pool().interface(">=2.1".parse().unwrap());
    pool.initialize().await.unwrap();
    assert!(pool.run_inference(ask("m")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_connected_is_counted_and_logged_once() {
    let log = Log::default();
    let _recording = log.record();
    let at = |name: &str, port: u16| {
        let endpoint = Endpoint::http(&format!("http://127.0.0.1:{port}")).unwrap();
        Member::new(name, Role::Miner).with_endpoint(endpoint)
    };
    let (publish, directory) = Watch::channel(Directory::default());
    let (fails, dials) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (failing, dialled) = (fails.clone(), dials.clone());
    let pool = MinerPool::watch(directory, move |member: &Member| {
        if member.node.as_str() == "odd" {
            dialled.fetch_add(1, Ordering::SeqCst);
            if failing.load(Ordering::SeqCst) {
                return Err(Error::invalid("odd_endpoint", "nobody can connect that"));
            }
        }
        Ok(Arc::new(Miner::good()) as Arc<dyn InferenceModule>)
    });
    let warnings = || log.text().matches("a miner cannot be connected").count();
    let count = || {
        let metrics = pool.get_metrics();
        let get = |name| metrics.get(name, &[]).unwrap();
        (get("pool.members"), get("pool.unreachable"))
    };
    publish.set(Directory::new([at("good", 1), at("odd", 2)], BlockNumber(1)));
    pool.initialize().await.unwrap();
    for block in 2..6 {
        publish.set(Directory::new([at("good", 1), at("odd", 2)], BlockNumber(block)));
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((count(), warnings()), ((1.0, 1.0), 1));
    assert!(
        dials.load(Ordering::SeqCst) >= 5,
        "tried again with each directory"
    );

    publish.set(Directory::new([at("good", 1), at("odd", 3)], BlockNumber(6)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((count(), warnings()), ((1.0, 1.0), 2), "it moved");

    fails.store(false, Ordering::SeqCst);
    publish.set(Directory::new([at("good", 1), at("odd", 3)], BlockNumber(7)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((count(), warnings()), ((2.0, 0.0), 2));

    fails.store(true, Ordering::SeqCst);
    publish.set(Directory::new([at("good", 1), at("odd", 4)], BlockNumber(8)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(count(), (1.0, 1.0));
    publish.set(Directory::new([at("good", 1)], BlockNumber(9)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(count(), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_never_looks_again_still_lets_its_miners_go() {
    let miner = Miner::good();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.pool().probe_interval(Duration::MAX);
    pool.initialize().await.unwrap();
    sleep(Duration::from_secs(3_600)).await;
    assert!(pool.run_inference(ask("m")).await.is_ok());
    pool.shutdown().await.unwrap();
    assert_eq!((miner.initialized(), miner.shut_down()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_was_given_up_does_not_keep_the_pool_from_starting_again() {
    let miner = Miner::new(|_| async { Ok(endless_reply()) });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    let under_way = pool.run_inference(ask("m")).await.unwrap();
    assert!(timeout(Duration::from_secs(1), pool.shutdown()).await.is_err());
    drop(under_way);
    pool.initialize().await.unwrap();
    assert_eq!((miner.shut_down(), miner.initialized()), (1, 2));
    assert_eq!(pool.get_metrics().get("pool.ready", &[]), Some(1.0));
    pool.shutdown().await.unwrap();
    assert_eq!(miner.shut_down(), 2);
}
