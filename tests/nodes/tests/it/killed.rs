//! A miner that is killed.

use std::time::Duration;

use futures_util::future::join_all;
use nodes_tests::{Ending, Gateway, ask};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_had_not_begun_are_answered_elsewhere_and_no_other_ends_in_silence() {
    // A word each three seconds: time enough for a request to be under way and have no content.
    let mut gateway = Gateway::start(3, 4, 3_000).await;
    let at = gateway.address();
    let begun = join_all((0..10).map(|_| ask(at, "one"))).await;
    let mut begun: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    let name = begun[0].miner().unwrap().to_owned();
    let killed = gateway.take(&name);
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(ask(at, "two"))).collect();
    gateway.until_under_way(20).await;

    killed.kill().await;
    let since = Instant::now();
    let next = ask(at, "three").await.unwrap();
    assert_ne!(next.miner(), Some(&*name));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());

    for reply in waiting {
        let mut reply = reply.await.unwrap().unwrap();
        assert_ne!(reply.miner(), Some(&*name));
        assert_eq!(reply.ending().await, Ending::Complete);
    }
    for reply in &mut begun {
        let expected = if reply.miner() == Some(&name) {
            Ending::Error
        } else {
            Ending::Complete
        };
        assert_eq!(reply.ending().await, expected);
    }
}
