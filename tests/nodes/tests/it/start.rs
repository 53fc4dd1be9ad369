//! How nodes start: in any order, one a directory.

use std::{fs, time::Duration};

use nodes_tests::{Ending, Node, Subnet, ask, get};
use tokio::time::{Instant, sleep};

/// Waits until `look` finds something, half a minute at most.
async fn until<T>(node: &Node, look: impl AsyncFn() -> Option<T>) -> T {
    let late = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < late, "it does not come:\n{}", node.stderr());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_may_start_before_their_chain_and_say_what_they_wait_for() {
    let subnet = Subnet::new();
    let (_, miner) = (subnet.key("validator"), subnet.key("miner"));
    let (validator_process, miner_process) = (subnet.validator("validator"), subnet.miner("miner", 1, 0));
    let (mut validator_node, mut miner_node) = (validator_process.spawn(), miner_process.spawn());
    let gateway = validator_process.listens();
    // An error is that it does not listen yet.
    let mut reply = until(&validator_node, async || get(gateway, "/health/ready").await.ok()).await;
    assert_eq!(reply.status(), 503);
    let said = reply.text().await;
    assert!(
        said.contains("the node waits for the chain at http://127.0.0.1:"),
        "{said}"
    );
    assert_eq!(ask(gateway, "hello").await.unwrap().status(), 503);

    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    subnet.register("miner", "miner").await;
    subnet.register("validator", "validator").await;
    validator_node.ready().await;
    miner_node.ready().await;
    let mut reply = until(&validator_node, async || {
        let reply = ask(gateway, "hello").await.unwrap();
        (reply.status() == 200).then_some(reply)
    })
    .await;
    assert_eq!(reply.miner(), Some(&*miner));
    assert_eq!(reply.ending().await, Ending::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_one_directory_is_refused_and_told_who_has_it() {
    let subnet = Subnet::new();
    let _ = subnet.key("node");
    for process in [subnet.validator("node"), subnet.miner("node", 1, 0)] {
        let mut first = process.spawn();
        let pid = first.pid();
        let holder = process.data().join("lock");
        until(&first, async || {
            fs::read_to_string(&holder)
                .ok()
                .filter(|said| said.contains(&pid.to_string()))
        })
        .await;
        let mut second = process.spawn();
        let ended = second
            .ended(Duration::from_secs(10))
            .await
            .expect("it does not wait");
        assert_eq!(ended.code(), Some(1));
        let said = second.stderr();
        assert!(
            said.contains(&format!("is in use by the process {pid}")),
            "{said}"
        );
        assert!(first.ended(Duration::ZERO).await.is_none(), "the first goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_does_not_exist_ends_the_node() {
    let subnet = Subnet::new();
    let _ = subnet.key("node");
    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    for process in [subnet.validator("node"), subnet.miner("node", 1, 0)] {
        let process = process.arg("--subnet=8");
        let mut node = process.spawn();
        let ended = node
            .ended(Duration::from_secs(20))
            .await
            .expect("waiting helps nobody");
        assert_eq!(ended.code(), Some(1));
        assert!(
            node.stderr().contains("the chain has no subnet 8"),
            "{}",
            node.stderr()
        );
    }
}
