//! A miner whose process is stopped: its kernel still acknowledges, and it says nothing.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all};
use nodes_tests::{Node, Process, Signal};
use synapse_core::{
    BlockNumber, Body, Directory, Endpoint, Error, InferenceModule, Input, Member, Message, Prompt, Request,
    Role, Task, Watch,
};
use synapse_http::HttpConnect;
use synapse_validator::MinerPool;
use tokio::time::{Instant, timeout};

/// When what waits on a frozen miner is over, at the latest.
const NOTICED: Duration = Duration::from_secs(30);
/// Of those, some wait for a whole reply and some for the next event.
const REQUESTS: usize = 12;

/// A miner whose replies take 5 s.
fn slow() -> Process {
    Process::new("custom_module")
        .arg("--listen=127.0.0.1:0")
        .arg("--times=5")
        .arg("--pause-ms=100")
}

fn pool_of(miners: &[Node]) -> MinerPool {
    let members = miners.iter().enumerate().map(|(at, miner)| {
        let endpoint = Endpoint::http(miner.url()).unwrap();
        Member::new(format!("miner-{at}"), Role::Miner).with_endpoint(endpoint)
    });
    let directory = Directory::new(members, BlockNumber(1));
    MinerPool::watch(Watch::constant(directory), HttpConnect::new())
}

fn chat(stream: bool) -> Input {
    let ten = "one two three four five six seven eight nine ten ";
    let prompt = Prompt::Messages(vec![Message::user(ten)]);
    let request = Request::new("shout", prompt).with_params(|params| params.stream = stream);
    Input::from_request(Task::CHAT, request)
}

async fn read(mut body: Body) -> Result<(), Error> {
    while let Some(chunk) = body.next().await {
        chunk?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_it_is_answered_elsewhere_or_ends_within_30_seconds() {
    let (frozen, other) = (slow(), slow());
    let miners = [frozen.start().await, other.start().await];
    let pool = pool_of(&miners);
    pool.initialize().await.unwrap();

    let frozen = "miner-0".into();
    let streams = join_all((0..REQUESTS).map(|_| pool.run_inference(chat(true)))).await;
    let (cut, whole): (Vec<_>, Vec<_>) = streams
        .into_iter()
        .map(Result::unwrap)
        .partition(|output| output.head.served_by() == Some(&frozen));
    assert!(!cut.is_empty() && !whole.is_empty(), "both were asked");
    let mut waiting: Vec<_> = (0..REQUESTS)
        .map(|_| Box::pin(pool.run_inference(chat(false))))
        .collect();
    for waits in &mut waiting {
        // It is on its way once it was polled, and has no content before it is whole.
        assert!(timeout(Duration::from_millis(20), waits).await.is_err());
    }
    let in_flight = pool
        .get_metrics()
        .get("pool.in_flight", &[("miner", "miner-0")])
        .unwrap();
    assert!(in_flight > cut.len() as f64, "some wait for whole replies");

    miners[0].signal(Signal::STOP);
    let since = Instant::now();
    let (waited, cut, whole) = tokio::join!(
        join_all(waiting),
        join_all(cut.into_iter().map(|output| read(output.body))),
        join_all(whole.into_iter().map(|output| read(output.body))),
    );
    let noticed = since.elapsed();
    println!("noticed within {noticed:?}");
    assert!(noticed < NOTICED, "{noticed:?}");
    for output in waited {
        assert_eq!(output.unwrap().head.served_by(), Some(&"miner-1".into()));
    }
    for ended in cut {
        assert_eq!(ended.unwrap_err().code(), "miner_silent");
    }
    assert!(whole.iter().all(Result::is_ok), "the other one's streams go on");

    let next = Instant::now();
    let output = pool.run_inference(chat(true)).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"miner-1".into()));
    assert!(
        next.elapsed() < Duration::from_secs(2),
        "it is known, and nobody asks it"
    );
    drop(output);
    pool.shutdown().await.unwrap();
}
