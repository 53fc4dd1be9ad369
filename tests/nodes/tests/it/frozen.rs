//! A miner whose process is stopped: its kernel still acknowledges, and it says nothing.

use std::time::Duration;

use futures_util::future::join_all;
use nodes_tests::{Ending, Gateway, Signal, ask, ask_whole};
use tokio::time::Instant;

/// When what waits on a frozen miner is over, at the latest.
const NOTICED: Duration = Duration::from_secs(30);
/// Of each kind: streams that began, streams that did not, whole replies.
const REQUESTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_it_is_answered_elsewhere_or_ends_within_30_seconds() {
    let mut gateway = Gateway::start(2, 40, 100).await;
    let at = gateway.address();
    let begun = join_all((0..REQUESTS).map(|_| ask(at, "one"))).await;
    let mut begun: Vec<_> = begun.into_iter().map(Result::unwrap).collect();
    let name = begun[0].miner().unwrap().to_owned();
    let frozen = gateway.take(&name);

    frozen.signal(Signal::STOP);
    let since = Instant::now();
    let cut = begun.iter_mut().map(|reply| async {
        let on_frozen = reply.miner() == Some(&name);
        (on_frozen, reply.ending().await)
    });
    // Nobody knows yet: some of these go to the frozen one, too.
    let (cut, streams, whole) = tokio::join!(
        join_all(cut),
        join_all((0..REQUESTS).map(|_| ask(at, "two"))),
        join_all((0..REQUESTS).map(|_| ask_whole(at, "three"))),
    );
    for (on_frozen, ending) in cut {
        assert_eq!(
            ending,
            if on_frozen {
                Ending::Error
            } else {
                Ending::Complete
            }
        );
    }
    for reply in streams {
        let mut reply = reply.unwrap();
        assert_ne!(reply.miner(), Some(&*name));
        assert_eq!(reply.ending().await, Ending::Complete);
    }
    for reply in whole {
        let reply = reply.unwrap();
        assert_eq!((reply.status(), reply.miner() == Some(&name)), (200, false));
    }
    let noticed = since.elapsed();
    println!("all over after {noticed:?}");
    assert!(noticed < NOTICED, "{noticed:?}");

    let next = Instant::now();
    for _ in 0..REQUESTS {
        let reply = ask(at, "four").await.unwrap();
        assert_ne!(reply.miner(), Some(&*name));
    }
    assert!(
        next.elapsed() < Duration::from_secs(5),
        "it is known, and nobody asks it"
    );
}
