//! Nodes that are told to end.

use std::time::Duration;

use nodes_tests::{Ending, Gateway, Signal, ask};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_first_signal_lets_replies_end() {
    let mut gateway = Gateway::start(1, 20, 100).await;
    let at = gateway.address();
    let mut reply = ask(at, "one").await.unwrap();
    let (_, miner) = &mut gateway.miners[0];
    miner.signal(Signal::TERM);
    gateway.validator.signal(Signal::TERM);
    assert_eq!(reply.ending().await, Ending::Complete);
    for node in [&mut gateway.validator, miner] {
        let ended = node
            .ended(Duration::from_secs(15))
            .await
            .expect("its replies ended");
        assert!(ended.success(), "{ended}: {}", node.stderr());
    }
    assert!(ask(at, "two").await.is_err(), "nobody listens");
    gateway.chain.signal(Signal::TERM);
    assert!(gateway.chain.ended(SOON).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    for which in ["validator", "miner"] {
        let mut gateway = Gateway::start(1, 1_000, 100).await;
        let mut reply = ask(gateway.address(), "one").await.unwrap();
        let node = match which {
            "validator" => &mut gateway.validator,
            _ => &mut gateway.miners[0].1,
        };
        node.signal(Signal::TERM);
        assert!(
            node.ended(Duration::from_secs(1)).await.is_none(),
            "a reply is under way"
        );
        node.signal(Signal::INT);
        assert!(node.ended(SOON).await.is_some(), "{}", node.stderr());
        assert_ne!(reply.ending().await, Ending::Complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_has_an_end() {
    let mut gateway = Gateway::start_with(1, 1_000, 100, |validator| validator.arg("--drain=1")).await;
    let mut reply = ask(gateway.address(), "one").await.unwrap();
    gateway.validator.signal(Signal::TERM);
    assert!(
        gateway.validator.ended(SOON).await.is_some(),
        "{}",
        gateway.validator.stderr()
    );
    assert_ne!(reply.ending().await, Ending::Complete);
}
