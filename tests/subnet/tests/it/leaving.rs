//! Clients that leave: nothing of them is left behind, at any stage, anywhere on the way.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use subnet_tests::{Gateway, serve};
use synapse_core::{
    Body, Chunk, Delta, Ending, Error, FinishReason, InferenceModule, Input, ModelInfo, ModuleCapabilities,
    ModuleExt, Output, Pending, Tap, Task, from_fn, testkit::Scripted,
};
use synapse_miner::QueueLayer;
use synapse_validator::{Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tower::ServiceBuilder;

const CLIENTS: usize = 1_000;
const AT_ONCE: usize = 64;
const EVENTS: u32 = 20;

/// Counts what is under way, however it ends.
#[derive(Clone, Default)]
struct UnderWay(Arc<AtomicUsize>);

struct One(Arc<AtomicUsize>);

impl UnderWay {
    fn enter(&self) -> One {
        self.0.fetch_add(1, Ordering::SeqCst);
        One(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An engine that takes its time, and says how many requests it works on.
fn engine(under_way: &UnderWay) -> Scripted {
    let under_way = under_way.clone();
    let capabilities = ModuleCapabilities::new("slow")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("slow"))
        .with_streaming();
    Scripted::new(move |_| {
        let one = under_way.enter();
        async move {
            sleep(Duration::from_millis(3)).await;
            let events = stream::unfold((0, one), |(at, one)| async move {
                if at > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                let delta = Delta::text("word ");
                let chunk = match at {
                    ..EVENTS => Chunk::delta(delta),
                    EVENTS => Chunk::delta(Delta::finish(FinishReason::Stop)).into_last(),
                    _ => return None,
                };
                Some((Ok(chunk), (at + 1, one)))
            });
            Ok(Output::new(Body::new(events)))
        }
    })
    .with_capabilities(capabilities)
}

/// How requests ended at the gateway's door.
#[derive(Clone, Default)]
struct Endings(Arc<Mutex<[usize; 3]>>);

impl Tap for Endings {
    fn on_end(&mut self, ending: &Ending) {
        let at = match ending {
            Ending::Complete => 0,
            Ending::Broken(_) => 1,
            Ending::Dropped => 2,
        };
        self.0.lock().unwrap()[at] += 1;
    }
}

/// When a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    BeforeTheHead(Duration),
    AfterBytes(usize),
    AfterDone,
}

/// Asks for a stream, leaves when it is told to, and says whether it saw the end.
async fn ask(address: SocketAddr, leaves: Leaves) -> std::io::Result<bool> {
    let mut socket = TcpStream::connect(address).await?;
    let body =
        r#"{"model":"slow","messages":[{"role":"user","content":"hi there"}],"stream":true,"max_tokens":64}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    let mut read = Vec::new();
    let enough = match leaves {
        Leaves::BeforeTheHead(wait) => {
            let _ = timeout(wait, socket.read_buf(&mut read)).await;
            return Ok(false);
        }
        Leaves::AfterBytes(bytes) => bytes,
        Leaves::AfterDone => usize::MAX,
    };
    loop {
        let done = read.windows(14).any(|window| window == b"data: [DONE]\n\n");
        if done || read.len() >= enough || socket.read_buf(&mut read).await? == 0 {
            return Ok(done);
        }
    }
}

fn plan(random: &mut TestRng) -> Leaves {
    match random.next_u32() % 4 {
        0 => Leaves::BeforeTheHead(Duration::from_micros(u64::from(random.next_u32() % 8_000))),
        3 => Leaves::AfterDone,
        _ => Leaves::AfterBytes(random.next_u32() as usize % 5_000),
    }
}

fn sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

/// Waits until `done`, or says what is left.
async fn eventually(what: &str, done: impl Fn() -> Result<(), String>) {
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(left) = done() {
        assert!(Instant::now() < until, "{what}: {left}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_leave_leave_nothing_behind() {
    let runtime = tokio::runtime::Handle::current().metrics();
    let (tasks_before, sockets_before) = (runtime.num_alive_tasks(), sockets());

    let (engines, queue) = (UnderWay::default(), QueueLayer::bounded(CLIENTS).concurrency(32));
    let miner = engine(&engines).with(queue.clone()).attach(queue.clone());
    let gateway = Gateway::over(vec![serve(synapse_http::router(miner)).await.unwrap()])
        .await
        .unwrap();
    let pool = gateway.pool();
    let (endings, arrived) = (Endings::default(), Arc::new(AtomicUsize::new(0)));
    let watch = from_fn({
        let (endings, arrived) = (endings.clone(), arrived.clone());
        move |input: Input, next| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let pending = Pending::new(endings.clone());
            async move { pending.settle(next.run(input).await) }
        }
    });
    let limit = RateLimitLayer::per_caller(
        Quota::requests_per_minute(1_000_000).and(Quota::tokens_per_day(1_000_000_000)),
    );
    let stack = pool
        .clone()
        .with(
            ServiceBuilder::new()
                .layer(watch)
                .layer(TraceLayer::new())
                .layer(TokenCountLayer::new(Tokenizers::new()))
                .layer(limit.clone()),
        )
        .attach(limit);
    let door = serve(synapse_http::router(stack.clone())).await.unwrap();

    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let plans: Vec<Leaves> = (0..CLIENTS).map(|_| plan(&mut random)).collect();
    let address = door.address();
    let complete = stream::iter(plans)
        .map(|leaves| async move { (leaves, ask(address, leaves).await.unwrap()) })
        .buffer_unordered(AT_ONCE)
        .filter(|(leaves, done)| {
            assert!(
                *done || !matches!(leaves, Leaves::AfterDone),
                "a client that waits sees the end"
            );
            std::future::ready(*done)
        })
        .count()
        .await;

    eventually("requests at the gateway", || {
        let [whole, broken, dropped] = *endings.0.lock().unwrap();
        let (ended, arrived) = (whole + broken + dropped, arrived.load(Ordering::SeqCst));
        if ended == arrived {
            Ok(())
        } else {
            Err(format!("{arrived} arrived, {ended} ended"))
        }
    })
    .await;
    eventually("engine", || match engines.count() {
        0 => Ok(()),
        left => Err(format!("works on {left} requests")),
    })
    .await;
    eventually("the miner's queue", || {
        match (queue.waiting(), queue.in_flight()) {
            (0, 0) => Ok(()),
            left => Err(format!("{left:?} waiting and in flight")),
        }
    })
    .await;
    eventually("the gateway's counts", || {
        let metrics = stack.get_metrics();
        let left = [
            metrics.get("pool.in_flight", &[("miner", "miner-1")]),
            metrics.get("rate_limit.reservations", &[]),
        ];
        if left == [Some(0.0); 2] {
            Ok(())
        } else {
            Err(format!("{left:?} in flight and reserved"))
        }
    })
    .await;

    let [whole, broken, dropped] = *endings.0.lock().unwrap();
    assert_eq!(
        whole + broken + dropped,
        arrived.load(Ordering::SeqCst),
        "each request ends once"
    );
    assert_eq!(broken, 0, "a client that leaves breaks nothing");
    assert!(
        whole >= complete,
        "{complete} clients saw [DONE], and {whole} requests are complete"
    );
    assert!(
        whole > 200 && dropped > 200,
        "{whole} complete, {dropped} dropped: both happened"
    );

    door.stop().await.unwrap();
    gateway.stop().await.unwrap();
    drop((stack, pool));
    eventually("tasks", || match runtime.num_alive_tasks() {
        left if left <= tasks_before => Ok(()),
        left => Err(format!("{left}, and {tasks_before} before")),
    })
    .await;
    eventually("sockets", || match sockets() {
        left if left <= sockets_before => Ok(()),
        left => Err(format!("{left}, and {sockets_before} before")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_after_done_counts_as_complete() -> Result<(), Error> {
    let trace = TraceLayer::new();
    let engines = UnderWay::default();
    let gateway = Gateway::over(vec![serve(synapse_http::router(engine(&engines))).await?]).await?;
    let stack = gateway.pool().with(trace.clone()).attach(trace);
    let door = serve(synapse_http::router(stack.clone())).await?;
    for _ in 0..20 {
        assert!(ask(door.address(), Leaves::AfterDone).await.unwrap());
    }
    let count = |outcome| {
        stack
            .get_metrics()
            .get("inference.requests", &[("outcome", outcome)])
            .unwrap_or(0.0)
    };
    assert_eq!([count("complete"), count("dropped")], [20.0, 0.0]);
    door.stop().await?;
    gateway.stop().await
}
