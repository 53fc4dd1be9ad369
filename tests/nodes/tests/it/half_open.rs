//! A miner whose host is gone without a word: connections stay open, and nothing comes any more.

use std::time::Duration;

use futures_util::future::join_all;
use nodes_tests::{Ending, Gateway, Wire, ask, ask_whole};
use tokio::time::Instant;

const NOTICED: Duration = Duration::from_secs(30);
const REQUESTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_it_is_answered_elsewhere_or_ends_within_30_seconds() {
    let gateway = Gateway::start(1, 40, 100).await;
    let name = gateway.subnet.key("behind");
    gateway.subnet.register("behind", "miner").await;
    let (listener, between) = Wire::listen().await;
    let process = gateway
        .subnet
        .miner("behind", 40, 100)
        .arg(format!("--advertise=https://{between}"));
    let miner = process.start().await;
    let wire = Wire::reach(listener, miner.address());
    gateway.until_ready(2).await;

    let at = gateway.address();
    let begun = join_all((0..REQUESTS).map(|_| ask(at, "one"))).await;
    let mut begun: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    let behind = begun.iter().filter(|reply| reply.miner() == Some(&name)).count();
    assert!(behind > 0, "none of {REQUESTS} streams went to the miner");

    wire.go_mute();
    let since = Instant::now();
    let ends = begun.iter_mut().map(|reply| async {
        let is_behind = reply.miner() == Some(&name);
        (is_behind, reply.ending().await)
    });
    let (ends, whole) = tokio::join!(
        join_all(ends),
        join_all((0..REQUESTS).map(|_| ask_whole(at, "two")))
    );
    for (is_behind, ending) in ends {
        let expected = if is_behind {
            Ending::Error
        } else {
            Ending::Complete
        };
        assert_eq!(ending, expected);
    }
    for reply in whole {
        let reply = reply.unwrap();
        assert_eq!((reply.status(), reply.miner() == Some(&name)), (200, false));
    }
    let noticed = since.elapsed();
    println!("all over after {noticed:?}");
    assert!(noticed < NOTICED, "{noticed:?}");
}
