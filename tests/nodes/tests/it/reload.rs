//! A configuration that is read again while users ask.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nodes_tests::{Ending, Gateway, Node, Signal, Subnet, ask};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PLENTY: u64 = 1_000_000;

/// A gateway with a file, in which a minute's requests stand.
struct Configured {
    gateway: Gateway,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Configured {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("validator.toml");
        fs::write(&file, limits(PLENTY)).unwrap();
        let config = format!("--config={}", file.display());
        let gateway = Gateway::start_with(2, 5, 10, |validator| validator.arg(config)).await;
        Self {
            gateway,
            file,
            _folder: folder,
        }
    }

    /// Writes the file, sends SIGHUP, and waits until the validator has `said` so once more.
    async fn reload(&self, text: &str, said: &str) {
        let validator = &self.gateway.validator;
        let before = validator.stderr().matches(said).count();
        fs::write(&self.file, text).unwrap();
        validator.signal(Signal::HUP);
        until_said(validator, said, before + 1).await;
    }
}

/// Waits until the node has said this so many times.
async fn until_said(node: &Node, what: &str, times: usize) {
    let late = Instant::now() + PATIENCE;
    while node.stderr().matches(what).count() < times {
        assert!(
            Instant::now() < late,
            "it does not say {what:?}:\n{}",
            node.stderr()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

fn limits(requests: u64) -> String {
    format!("[limits]\nrequests_per_minute = {requests}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_drop_no_request() {
    let configured = Configured::start().await;
    let at = configured.gateway.address();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut users = JoinSet::new();
    for user in 0..8 {
        let (stop, asked) = (stop.clone(), asked.clone());
        users.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut reply = ask(at, &format!("user {user}")).await.expect("it is answered");
                assert_eq!((reply.status(), reply.ending().await), (200, Ending::Complete));
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..10 {
        let requests = PLENTY + round;
        let said = format!("limits.requests_per_minute = {}", requests + 1);
        configured.reload(&limits(requests + 1), &said).await;
        configured
            .reload("[limits]\nrequests = 1\n", "stays as it was")
            .await;
        let before = asked.load(Ordering::Relaxed);
        let late = Instant::now() + PATIENCE;
        while asked.load(Ordering::Relaxed) == before {
            assert!(Instant::now() < late, "users are answered between two reloads");
            sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(user) = users.join_next().await {
        user.expect("no request was dropped");
    }
    assert!(asked.load(Ordering::Relaxed) > 20, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_and_one_with_an_error_changes_nothing_and_says_why() {
    let configured = Configured::start().await;
    let at = configured.gateway.address();
    let status = async || ask(at, "hello").await.unwrap().status();
    assert_eq!(status().await, 200);

    configured
        .reload(&limits(1), "limits.requests_per_minute = 1 (was 1000000)")
        .await;
    assert_eq!(status().await, 200);
    assert_eq!(status().await, 429, "one a minute");

    let wrong = "[limits]\nrequests_per_minute = 0\n\n[pool]\natempts = 3\n";
    configured.reload(wrong, "did you mean pool.attempts?").await;
    let said = configured.gateway.validator.stderr();
    assert!(said.contains("the configuration stays as it was"), "{said}");
    assert!(
        said.contains("validator.toml:2:1: limits.requests_per_minute"),
        "{said}"
    );
    assert!(said.contains("validator.toml:5:1: pool.atempts"), "{said}");
    assert_eq!(status().await, 429, "the last good one holds");

    let restart = format!("{}[pool]\nattempts = 2\n", limits(PLENTY));
    configured
        .reload(&restart, "pool.attempts = 2 (was 3), from the next start on")
        .await;
    assert_eq!(status().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_are_refused_leave_all_else_as_it_was() {
    let configured = Configured::start().await;
    let at = configured.gateway.address();
    let status = async || ask(at, "hello").await.unwrap().status();
    let prices = configured.file.with_file_name("prices.toml");
    let sold_at = |price: u32| {
        format!(
            "[[version]]\nnumber = 1\nfrom = 2026-01-01\n\n[version.default]\nprompt = \"{price}\"\ncompletion = \"1\"\n"
        )
    };
    let config = |requests: u64, spend: &str| {
        let (limits, prices) = (limits(requests), prices.display());
        format!("{limits}\n[billing]\nprices = \"{prices}\"\nspend_per_day = \"{spend}\"\n")
    };
    fs::write(&prices, sold_at(1)).unwrap();
    configured
        .reload(&config(PLENTY, "1000"), "billing.spend_per_day = \"1000\"")
        .await;
    assert_eq!(status().await, 200);

    fs::write(&prices, sold_at(2)).unwrap();
    let refused = "billing.prices: version 1 of the prices, by which requests were charged, is another now";
    configured.reload(&config(1, "0.000001"), refused).await;
    for _ in 0..3 {
        assert_eq!(status().await, 200, "limits and terms are the last good ones");
    }
    let said = configured.gateway.validator.stderr();
    assert!(said.contains("the configuration stays as it was"), "{said}");

    // The same file, once its prices are right, takes effect, and is told as the change that it is.
    fs::write(&prices, sold_at(1)).unwrap();
    configured
        .reload(&config(1, "1000"), "limits.requests_per_minute = 1 (was 1000000)")
        .await;
    assert_eq!(status().await, 200);
    assert_eq!(status().await, 429, "one a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_is_not_ended_by_a_hangup_and_heeds_it() {
    let subnet = Subnet::new();
    let _ = subnet.key("node");
    // The chain never comes.
    for process in [subnet.validator("node"), subnet.miner("node", 1, 0)] {
        let mut node = process.spawn();
        // It has its directory before it unlocks its key, which takes a while.
        let (lock, pid) = (process.data().join("lock"), node.pid().to_string());
        let late = Instant::now() + PATIENCE;
        while !fs::read_to_string(&lock).is_ok_and(|holder| holder.contains(&pid)) {
            assert!(Instant::now() < late, "it does not start:\n{}", node.stderr());
            sleep(Duration::from_millis(1)).await;
        }
        node.signal(Signal::HUP);
        until_said(&node, "the configuration was read again, and nothing changed", 1).await;
        assert!(node.ended(Duration::ZERO).await.is_none(), "{}", node.stderr());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_moves_without_a_restart_and_says_what_takes_one() {
    let subnet = Subnet::new();
    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    let _ = subnet.key("miner");
    subnet.register("miner", "miner").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("miner.toml");
    let advertise = |port: u16| format!("advertise = \"https://127.0.0.1:{port}\"\n");
    fs::write(&file, advertise(1)).unwrap();
    let process = subnet
        .miner("miner", 1, 0)
        .arg(format!("--config={}", file.display()));
    let miner = process.start().await;
    until_said(&miner, "lists it at https://127.0.0.1:1 ", 1).await;

    fs::write(&file, advertise(2) + "min_stake = 5\n").unwrap();
    miner.signal(Signal::HUP);
    until_said(&miner, "lists it at https://127.0.0.1:2 ", 1).await;
    until_said(&miner, "min_stake = 5 (was 0), from the next start on\n", 1).await;
    let moved = "advertise = \"https://127.0.0.1:2\" (was \"https://127.0.0.1:1\")\n";
    until_said(&miner, moved, 1).await;

    fs::write(&file, "advertise = \"nowhere\"\n").unwrap();
    miner.signal(Signal::HUP);
    until_said(&miner, "the configuration stays as it was", 1).await;

    fs::write(&file, "").unwrap();
    miner.signal(Signal::HUP);
    until_said(
        &miner,
        "(was \"https://127.0.0.1:2\"), from the next start on\n",
        1,
    )
    .await;
}
