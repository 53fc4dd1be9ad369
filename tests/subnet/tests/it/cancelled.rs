//! Streams that are given up, over real connections on both sides of a miner: nothing of them is left.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use subnet_tests::{Serving, post, serve};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, InferenceModule, Input, Message, ModelInfo, ModuleCapabilities,
    ModuleExt, Output, Retry, Task, testkit::Scripted,
};
use synapse_http::OpenAiModule;
use synapse_miner::{CircuitBreakerLayer, QueueLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tower::ServiceBuilder;

const STREAMS: usize = 10_000;
const AT_ONCE: usize = 256;
const PLACES: usize = 48;
const ASK: &str =
    r#"{"model":"slow","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":64}"#;

/// A fake engine that works at a pace, since only its time matters here: a word every 5 ms, `words` of them.
fn engine(running: &Arc<AtomicUsize>, words: usize) -> Scripted {
    let running = running.clone();
    let claims = ModuleCapabilities::new("slow")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("slow"))
        .with_streaming();
    Scripted::new(move |_| {
        let under_way = UnderWay::begin(&running);
        async move {
            let words = stream::iter(1..=words).then(move |at| {
                let _held = &under_way;
                async move {
                    sleep(Duration::from_millis(5)).await;
                    let chunk = Chunk::delta(Delta::text("word "));
                    Ok(if at == words { chunk.into_last() } else { chunk })
                }
            });
            Ok(Output::new(Body::new(words)))
        }
    })
    .with_capabilities(claims)
}

struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, SeqCst);
        Self(running.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// An engine behind the layers of a miner, each behind a socket of its own.
struct Miner {
    running: Arc<AtomicUsize>,
    queue: QueueLayer,
    module: Arc<dyn InferenceModule>,
    engine: Serving,
    serving: Serving,
}

impl Miner {
    async fn start(words: usize, places: usize) -> Self {
        let (running, queue) = (
            Arc::default(),
            QueueLayer::bounded(2 * AT_ONCE).concurrency(places),
        );
        let engine = serve(synapse_http::router(engine(&running, words)))
            .await
            .unwrap();
        let upstream = OpenAiModule::connect(&engine.url()).await.unwrap();
        let breaker = CircuitBreakerLayer::default();
        let layers = ServiceBuilder::new().layer(queue.clone()).layer(breaker.clone());
        let stack = upstream.with(layers).attach(queue.clone()).attach(breaker);
        let module: Arc<dyn InferenceModule> = Arc::new(stack);
        let serving = serve(synapse_http::router(module.clone())).await.unwrap();
        Self {
            running,
            queue,
            module,
            engine,
            serving,
        }
    }

    async fn stop(self) {
        self.serving.stop().await.unwrap();
        self.engine.stop().await.unwrap();
    }
}

/// When somebody gives his stream up.
#[derive(Debug, Clone, Copy)]
enum GivesUp {
    After(Duration),
    AtBytes(usize),
}

/// How far he came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Waiting,
    Reading,
    Refused,
}

async fn give_up(miner: SocketAddr, when: GivesUp) -> std::io::Result<Came> {
    let mut socket = TcpStream::connect(miner).await?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        ASK.len()
    );
    socket.write_all((head + ASK).as_bytes()).await?;
    let (patience, enough) = match when {
        GivesUp::After(patience) => (patience, usize::MAX),
        GivesUp::AtBytes(bytes) => (Duration::from_millis(500), bytes),
    };
    let mut read = Vec::new();
    let reads = async {
        while read.len() < enough && socket.read_buf(&mut read).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    if let Ok(ended) = timeout(patience, reads).await {
        ended?;
    }
    assert!(!read.ends_with(b"[DONE]\n\n"), "nobody stays to the end");
    Ok(match read.get(9..12) {
        None => Came::Waiting,
        Some(b"200") => Came::Reading,
        Some(_) => Came::Refused,
    })
}

fn plan(random: &mut TestRng) -> GivesUp {
    if random.next_u32().is_multiple_of(2) {
        GivesUp::After(Duration::from_millis(u64::from(random.next_u32() % 60)))
    } else {
        GivesUp::AtBytes(random.next_u32() as usize % 2_000)
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until it is no more than `most`.
async fn falls_to(most: usize, what: &str, count: impl Fn() -> usize) {
    let until = Instant::now() + Duration::from_secs(10);
    while count() > most {
        assert!(Instant::now() < until, "{} {what}, and {most} before", count());
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_that_are_given_up_leave_nothing_behind() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (tasks_before, files_before) = (tasks(), open_files());
    // Longer than anybody stays.
    let miner = Miner::start(2_000, PLACES).await;
    let (tasks_served, files_served) = (tasks(), open_files());

    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let plans: Vec<GivesUp> = (0..STREAMS).map(|_| plan(&mut random)).collect();
    let address = miner.serving.address();
    let came = Mutex::new(BTreeMap::<Came, usize>::new());
    stream::iter(plans)
        .for_each_concurrent(AT_ONCE, |when| {
            let came = &came;
            async move {
                let how = give_up(address, when).await.unwrap();
                *came.lock().unwrap().entry(how).or_default() += 1;
            }
        })
        .await;
    let came = came.into_inner().unwrap();
    assert_eq!(came.values().sum::<usize>(), STREAMS);
    let many = |how: Came| came.get(&how).is_some_and(|count| *count > STREAMS / 20);
    assert!(many(Came::Waiting) && many(Came::Reading), "{came:?}");

    falls_to(0, "requests at the engine", || miner.running.load(SeqCst)).await;
    falls_to(0, "requests at the queue", || {
        miner.queue.in_flight() + miner.queue.waiting()
    })
    .await;
    let metrics = miner.module.get_metrics();
    assert_eq!(
        metrics.get("breaker.failures", &[]),
        Some(0.0),
        "whoever leaves is no failure"
    );
    // While it goes on serving: what it keeps are idle connections to its engine, no more than it has places.
    falls_to(files_served + 2 * PLACES, "open files", open_files).await;
    falls_to(tasks_served + 2 * PLACES, "tasks", tasks).await;

    miner.stop().await;
    falls_to(tasks_before, "tasks", tasks).await;
    falls_to(files_before, "open files", open_files).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_says_how_long_its_request_waited() {
    let miner = Miner::start(10, 1).await;
    let address = miner.serving.address();
    let ask = || async {
        let reply = post(address, "/v1/chat/completions", ASK).await.unwrap();
        let number = |name: &str| -> u64 { reply.headers[name].to_str().unwrap().parse().unwrap() };
        (
            number("x-synapse-queue-position"),
            number("x-synapse-queue-wait-ms"),
        )
    };
    let first = tokio::spawn(async move { post(address, "/v1/chat/completions", ASK).await.unwrap() });
    while miner.queue.in_flight() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let (position, waited) = ask().await;
    assert_eq!(position, 1);
    assert!((1..10_000).contains(&waited), "{waited} ms");
    assert_eq!(first.await.unwrap().headers["x-synapse-queue-position"], "0");
    assert_eq!(ask().await, (0, 0));
    miner.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_as_the_miner_is_told_to_stop_is_answered() {
    let miner = Miner::start(10, 1).await;
    let address = miner.serving.address();
    let asking: Vec<_> = (0..4)
        .map(|_| tokio::spawn(async move { post(address, "/v1/chat/completions", ASK).await.unwrap() }))
        .collect();
    while miner.queue.in_flight() + miner.queue.waiting() < asking.len() {
        sleep(Duration::from_millis(1)).await;
    }
    miner.stop().await;
    for request in asking {
        let reply = request.await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.broken), (200, false));
        assert!(reply.body.ends_with(b"data: [DONE]\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_longer_than_the_miner_may_drain_fails_so_that_another_is_asked() {
    let miner = Miner::start(2_000, 1).await;
    let validator = Arc::new(OpenAiModule::connect(&miner.serving.url()).await.unwrap());
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let validator = validator.clone();
            tokio::spawn(async move {
                let mut output = validator
                    .run_inference(Input::chat("slow", [Message::user("hi")]))
                    .await?;
                while let Some(chunk) = output.body.next().await {
                    chunk?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    while miner.queue.in_flight() + miner.queue.waiting() < asking.len() {
        sleep(Duration::from_millis(1)).await;
    }
    miner.stop().await;
    for request in asking {
        let error = request.await.unwrap().unwrap_err();
        let kinds = [ErrorKind::Unavailable, ErrorKind::Broken];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert_eq!(error.retry(), Retry::Elsewhere, "{error:?}");
    }
}
