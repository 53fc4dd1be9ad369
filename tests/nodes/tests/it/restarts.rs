//! Nodes that are killed and come back.

use std::time::Duration;

use nodes_tests::{Ending, Gateway, ask, ask_whole};
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_comes_back_with_its_directory_and_with_fresh_limits() {
    let mut gateway =
        Gateway::start_with(2, 1, 0, |validator| validator.arg("--requests-per-minute=3")).await;
    let at = gateway.address();
    for _ in 0..3 {
        assert_eq!(ask_whole(at, "one").await.unwrap().status(), 200);
    }
    assert_eq!(ask_whole(at, "one").await.unwrap().status(), 429);

    let restarted = gateway.processes[1].restart(gateway.validator).await;
    gateway.validator = restarted;
    gateway.until_ready(2).await;
    assert_eq!(gateway.address(), at);
    for _ in 0..3 {
        assert_eq!(
            ask_whole(at, "two").await.unwrap().status(),
            200,
            "limits begin anew"
        );
    }
    assert_eq!(ask_whole(at, "two").await.unwrap().status(), 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_of_a_days_tokens_outlives_a_kill() {
    // Who sets no cap asks for all of a full window, so that only the first request fits.
    let mut gateway = Gateway::start_with(1, 1, 0, |validator| validator.arg("--tokens-per-day=1000")).await;
    let at = gateway.address();
    assert_eq!(ask_whole(at, "one").await.unwrap().status(), 200);
    assert_eq!(ask_whole(at, "one").await.unwrap().status(), 429);

    let restarted = gateway.processes[1].restart(gateway.validator).await;
    gateway.validator = restarted;
    gateway.until_ready(1).await;
    let said = gateway.validator.stderr();
    assert!(said.contains("go on where they were: 1 requests"), "{said}");
    assert_eq!(ask_whole(at, "one").await.unwrap().status(), 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_that_comes_back_elsewhere_is_found_there() {
    let mut gateway = Gateway::start(1, 1, 0).await;
    let at = gateway.address();
    let (name, miner) = gateway.miners.remove(0);
    let before = miner.address();
    let miner = gateway.processes[2].restart(miner).await;
    assert_ne!(miner.address(), before);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = ask(at, "one").await.unwrap();
        if reply.status() == 200 {
            assert_eq!(reply.miner(), Some(&*name));
            break;
        }
        assert!(
            Instant::now() < until,
            "{}\n{}",
            miner.stderr(),
            gateway.validator.stderr()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_carry_on_while_their_chain_is_away_and_follow_it_once_it_is_back() {
    let mut gateway = Gateway::start(2, 1, 0).await;
    let at = gateway.address();
    gateway.chain.kill().await;
    for _ in 0..5 {
        let mut reply = ask(at, "one").await.unwrap();
        assert_eq!(reply.ending().await, Ending::Complete);
    }
    gateway.chain = gateway.processes[0].start().await;
    let name = gateway.subnet.key("late");
    let late = gateway.subnet.miner("late", 1, 0);
    gateway.subnet.register("late", "miner").await;
    gateway.miners.push((name, late.start().await));
    gateway.until_ready(3).await;
    let mut reply = ask(at, "two").await.unwrap();
    assert_eq!(reply.ending().await, Ending::Complete);
}
