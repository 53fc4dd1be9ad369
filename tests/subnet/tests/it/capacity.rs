//! What a miner's queue knows of its room reaches a validator's pool, over real sockets.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use subnet_tests::{Serving, serve};
use synapse_core::{
    BlockNumber, Body, Capacity, Delta, Directory, Endpoint, Error, FinishReason, InferenceModule, Input,
    Member, Message, ModuleExt, NodeId, Output, Role, Watch, testkit::Scripted,
};
use synapse_http::{HttpConnect, OpenAiModule};
use synapse_miner::QueueLayer;
use synapse_validator::MinerPool;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// A miner behind a queue with one place, whose engine answers nothing until it may.
async fn miner(may: &watch::Sender<bool>) -> Serving {
    let may = may.subscribe();
    let engine = Scripted::new(move |_| {
        let mut may = may.clone();
        async move {
            let _ = may.wait_for(|may| *may).await;
            let said = [Delta::text("hi"), Delta::finish(FinishReason::Stop)];
            Ok(Output::new(Body::from_deltas(said)))
        }
    });
    let queue = QueueLayer::bounded(8);
    let module = engine.with(queue.clone()).attach(queue);
    serve(synapse_http::router(module)).await.unwrap()
}

fn ask() -> Input {
    Input::chat("scripted", [Message::user("hello")])
}

async fn whole(module: &impl InferenceModule) -> Result<Option<NodeId>, Error> {
    let mut output = module.run_inference(ask()).await?;
    while let Some(chunk) = output.body.next().await {
        chunk?;
    }
    Ok(output.head.served_by().cloned())
}

/// Waits until the pool has seen this of a miner.
async fn sees(pool: &MinerPool, miner: &NodeId, is: impl Fn(Capacity) -> bool) -> Capacity {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = pool.capacity_of(miner);
        if let Some(capacity) = seen.filter(|capacity| is(*capacity)) {
            return capacity;
        }
        assert!(Instant::now() < until, "{seen:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_miner_that_others_keep_busy_says_so_and_is_spared() {
    let (busy, free) = (watch::Sender::new(false), watch::Sender::new(true));
    let miners = [miner(&busy).await, miner(&free).await];
    let names = ["miner-1", "miner-2"].map(NodeId::from);
    let members = miners.iter().zip(&names).map(|(serving, name)| {
        let endpoint = Endpoint::http(&serving.url()).unwrap();
        Member::new(name.as_str(), Role::Miner).with_endpoint(endpoint)
    });
    let directory = Watch::constant(Directory::new(members, BlockNumber(1)));
    let pool = MinerPool::watch(directory, HttpConnect::new()).probe_interval(Duration::from_millis(50));
    pool.initialize().await.unwrap();
    for name in &names {
        sees(&pool, name, |seen| seen == Capacity::new(1, 0)).await;
    }

    // Another validator fills the first one's place, and two of its queue's.
    let other = Arc::new(OpenAiModule::connect(&miners[0].url()).await.unwrap());
    let others: Vec<_> = (0..3)
        .map(|_| {
            let other = other.clone();
            tokio::spawn(async move { whole(&*other).await })
        })
        .collect();
    let full = Capacity::new(1, 1).with_waiting(2);
    sees(&pool, &names[0], |seen| seen == full).await;
    let metrics = pool.get_metrics();
    let get = |name: &str| metrics.get(name, &[("miner", "miner-1")]);
    assert_eq!(
        [
            get("pool.miner_slots"),
            get("pool.miner_busy"),
            get("pool.miner_waiting")
        ],
        [Some(1.0), Some(1.0), Some(2.0)]
    );

    // Neither was asked yet, so that nothing was measured: what the first one says decides.
    for _ in 0..20 {
        assert_eq!(whole(&pool).await.unwrap().as_ref(), Some(&names[1]));
    }
    busy.send_replace(true);
    for request in others {
        request.await.unwrap().unwrap();
    }
    sees(&pool, &names[0], |seen| seen == Capacity::new(1, 0)).await;
    pool.shutdown().await.unwrap();
    for serving in miners {
        serving.stop().await.unwrap();
    }
}
