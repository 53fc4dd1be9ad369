//! A miner that stops answering: noticed in time, and never mistaken for one that is slow, busy or ending.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Chunk, Delta, Directory, Endpoint, Error, ErrorKind, FinishReason, Health,
    InferenceModule, Input, Member, MetricsData, ModelInfo, ModuleCapabilities, Output, Retry, Role, Watch,
    async_trait,
};
use synapse_validator::MinerPool;
use tokio::time::{Instant, sleep, timeout};

use crate::fleet::{Fleet, Miner, ask, chat_with, endless_reply, read, reply};

/// When a first content comes from elsewhere, at the latest, and when a stream ends.
const TURNED_AWAY: Duration = Duration::from_secs(17);
const BROKEN: Duration = Duration::from_secs(22);
/// More often than jitter needs to show its worst.
const TIMES: usize = 25;

/// From now on no look has an answer.
fn freeze(miner: &Miner) {
    miner.miss(usize::MAX);
}

fn thaw(miner: &Miner) {
    miner.miss(0);
}

fn silent() -> Miner {
    Miner::new(|_| pending())
}

/// Never begins a reply of the model `m`, and never ends one of `streamed`.
fn silent_or_streaming() -> Miner {
    Miner::new(|input| async move {
        if input.model()? == "m" {
            pending().await
        } else {
            Ok(endless_reply())
        }
    })
    .serving(chat_with("m").with_model(ModelInfo::new("streamed")))
}

/// `count` deltas, `pause` apart, and the end.
fn slowly(count: u32, pause: Duration) -> Output {
    let events = stream::iter(0..=count).then(move |at| async move {
        if at > 0 {
            sleep(pause).await;
        }
        Ok(if at < count {
            Chunk::delta(Delta::text("word "))
        } else {
            Chunk::delta(Delta::finish(FinishReason::Stop)).into_last()
        })
    });
    Output::new(Body::new(events))
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_first_content_is_sent_elsewhere() {
    for round in 0..TIMES {
        let (frozen, good) = (silent(), Miner::good());
        let fleet = Fleet::of([("a", &frozen), ("b", &good)]);
        let pool = fleet.ordered().await;
        sleep(Duration::from_millis(731 * round as u64)).await;
        freeze(&frozen);
        let started = Instant::now();
        let output = pool.run_inference(ask("m")).await.unwrap();
        assert_eq!(output.head.served_by(), Some(&"b".into()));
        assert_eq!(read(output).await.unwrap(), 2);
        assert!(started.elapsed() < TURNED_AWAY, "{:?}", started.elapsed());

        let known = Instant::now();
        let output = pool.run_inference(ask("m")).await.unwrap();
        assert_eq!(output.head.served_by(), Some(&"b".into()));
        assert_eq!((known.elapsed(), frozen.asked()), (Duration::ZERO, 1), "at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_under_way_is_broken() {
    for round in 0..TIMES {
        let frozen = Miner::new(|_| async { Ok(endless_reply()) });
        let fleet = Fleet::of([("a", &frozen), ("b", &Miner::good())]);
        let pool = fleet.ordered().await;
        let mut body = pool.run_inference(ask("m")).await.unwrap().body;
        body.next().await.unwrap().unwrap();
        sleep(Duration::from_millis(731 * round as u64)).await;
        freeze(&frozen);
        let started = Instant::now();
        let error = body.next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Broken, "miner_silent"));
        assert!(body.next().await.is_none());
        assert!(started.elapsed() < BROKEN, "{:?}", started.elapsed());
        let failures = pool.get_metrics().get("pool.failures", &[("miner", "a")]);
        assert_eq!(failures, Some(1.0));
    }
}

#[tokio::test(start_paused = true)]
async fn alone_it_is_the_error_and_asked_again_once_it_is_back() {
    let miner = silent();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    freeze(&miner);
    let error = pool.run_inference(ask("m")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::Timeout, "miner_silent", Retry::Elsewhere)
    );
    miner.set_script(|_| async { Ok(reply()) });
    thaw(&miner);
    sleep(Duration::from_secs(60)).await;
    assert!(pool.run_inference(ask("m")).await.is_ok());
    assert_eq!(miner.initialized(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_and_answers_looks_is_left_alone() {
    const SLOW: Duration = Duration::from_secs(200);
    let miner = Miner::new(|_| async {
        sleep(SLOW).await;
        Ok(slowly(3, SLOW))
    });
    let other = Miner::good();
    let fleet = Fleet::of([("a", &miner), ("b", &other)]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(read(output).await.unwrap(), 4);
    assert_eq!((miner.asked(), other.asked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_looks_without_an_answer_break_no_stream() {
    let miner = Miner::new(|_| async { Ok(slowly(1, Duration::from_secs(100))) });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    miner.miss(2);
    assert_eq!(read(output).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_moves_goes_on_however_many_looks_have_no_answer() {
    let busy = Miner::new(|_| async { Ok(slowly(60, Duration::from_secs(3))) });
    let fleet = Fleet::of([("a", &busy), ("b", &Miner::good())]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    freeze(&busy);
    let reading = tokio::spawn(read(output));
    sleep(TURNED_AWAY).await;
    let next = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(next.head.served_by(), Some(&"b".into()), "it is asked no more");
    assert_eq!(reading.await.unwrap().unwrap(), 61);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_moved_and_then_stops_is_broken_too() {
    let frozen = Miner::new(|_| async {
        let moving = slowly(10, Duration::from_secs(3)).body.take(10);
        Ok(Output::new(Body::new(moving.chain(stream::pending()))))
    });
    let fleet = Fleet::of([("a", &frozen)]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    freeze(&frozen);
    let started = Instant::now();
    assert_eq!(read(output).await.unwrap_err().code(), "miner_silent");
    let quiet = started.elapsed().saturating_sub(Duration::from_secs(27));
    assert!(quiet < Duration::from_secs(45), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_unhealthy_or_refuses_looks_may_finish_what_it_has() {
    let ending = Miner::new(|_| async {
        sleep(Duration::from_secs(100)).await;
        Ok(slowly(1, Duration::from_secs(100)))
    });
    let fleet = Fleet::of([("a", &ending), ("b", &Miner::good())]);
    let pool = fleet.ordered().await;
    let waiting = async {
        let output = pool.run_inference(ask("m")).await.unwrap();
        assert_eq!(output.head.served_by(), Some(&"a".into()));
        assert_eq!(read(output).await.unwrap(), 2);
    };
    let refusing = async {
        sleep(Duration::from_secs(1)).await;
        ending.set_up(false);
    };
    tokio::join!(waiting, refusing);
}

#[tokio::test(start_paused = true)]
async fn one_that_its_module_finds_unreachable_sooner_than_the_pool_gives_up_is_silent_too() {
    let gone = silent();
    let fleet = Fleet::of([("a", &gone), ("b", &Miner::good())]);
    let pool = fleet.ordered().await;
    gone.fail_looks(Error::new(
        ErrorKind::Timeout,
        "unreachable",
        "no connection in time",
    ));
    let started = Instant::now();
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"b".into()));
    assert!(started.elapsed() < TURNED_AWAY, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_refused_looks_and_then_freezes_is_noticed_too() {
    for round in 0..TIMES {
        let frozen = silent_or_streaming();
        let fleet = Fleet::of([("a", &frozen), ("b", &Miner::good())]);
        let pool = fleet.ordered().await;
        let mut body = pool.run_inference(ask("streamed")).await.unwrap().body;
        body.next().await.unwrap().unwrap();
        let ended = timeout(Duration::from_secs(600), body.next());
        let freezing = async {
            sleep(Duration::from_secs(1)).await;
            frozen.set_up(false);
            // As long as the pauses between attempts at one with nothing under way grow.
            sleep(Duration::from_millis(200_000 + 731 * round as u64)).await;
            freeze(&frozen);
            Instant::now()
        };
        let (frozen_at, (whole, whole_at), (streamed, streamed_at)) = tokio::join!(
            freezing,
            async { (pool.run_inference(ask("m")).await.unwrap(), Instant::now()) },
            async { (ended.await.unwrap().unwrap().unwrap_err(), Instant::now()) },
        );
        assert_eq!(whole.head.served_by(), Some(&"b".into()));
        let took = whole_at - frozen_at;
        assert!(whole_at > frozen_at && took < TURNED_AWAY, "{took:?}");
        assert_eq!(streamed.code(), "miner_silent");
        let took = streamed_at - frozen_at;
        assert!(took < BROKEN, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_freezes_and_then_leaves_or_moves_is_noticed_too() {
    for (round, moves) in (0..2 * TIMES).map(|at| (at / 2, at % 2 == 0)) {
        let frozen = silent_or_streaming();
        let replacement = Miner::good();
        let fleet = Fleet::of([("a", &frozen), ("b", &Miner::good())]);
        let pool = fleet.ordered().await;
        let mut body = pool.run_inference(ask("streamed")).await.unwrap().body;
        body.next().await.unwrap().unwrap();
        sleep(Duration::from_millis(731 * round as u64)).await;
        freeze(&frozen);
        let started = Instant::now();
        let going = async {
            sleep(Duration::from_millis(317 * round as u64)).await;
            match moves {
                true => fleet.join_at("a", "elsewhere", &replacement),
                false => fleet.leave("a"),
            }
        };
        let (_, whole, (streamed, streamed_after)) = tokio::join!(
            going,
            async {
                let output = pool.run_inference(ask("m")).await.unwrap();
                (output.head.served_by().cloned(), started.elapsed())
            },
            async { (body.next().await.unwrap().unwrap_err(), started.elapsed()) },
        );
        assert_eq!(whole.0, Some("b".into()));
        assert!(whole.1 < TURNED_AWAY, "{:?}", whole.1);
        assert_eq!(streamed.code(), "miner_silent");
        assert!(streamed_after < BROKEN, "{streamed_after:?}");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(frozen.shut_down(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_looks_and_leaves_keeps_what_it_has() {
    let miner = Miner::new(|_| async {
        sleep(Duration::from_secs(13)).await;
        Ok(slowly(1, Duration::from_secs(13)))
    });
    let other = Miner::good();
    let fleet = Fleet::of([("a", &miner), ("b", &other)]);
    let pool = fleet.ordered().await;
    let asking = async { read(pool.run_inference(ask("m")).await.unwrap()).await };
    let (chunks, ()) = tokio::join!(asking, async {
        sleep(Duration::from_secs(1)).await;
        fleet.leave("a");
    });
    assert_eq!((chunks.unwrap(), other.asked()), (2, 0));
}

/// A good miner whose answers to looks are late.
#[derive(Clone)]
struct Late(Miner, Duration);

#[async_trait]
impl InferenceModule for Late {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.initialize().await
    }

    async fn health_check(&self) -> Result<Health, Error> {
        sleep(self.1).await;
        self.0.health_check().await
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.0.get_capabilities()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.run_inference(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_busy_and_answers_looks_late_is_left_alone() {
    let busy = Miner::new(|_| async {
        sleep(Duration::from_secs(100)).await;
        Ok(slowly(1, Duration::from_secs(100)))
    });
    let late = Late(busy.clone(), Duration::from_millis(3_900));
    let member = Member::new("a", Role::Miner).with_endpoint(Endpoint::http("http://127.0.0.1:1").unwrap());
    let directory = Watch::constant(Directory::new([member], BlockNumber(1)));
    let pool = MinerPool::watch(directory, move |_: &Member| {
        Ok(Arc::new(late.clone()) as Arc<dyn InferenceModule>)
    });
    pool.initialize().await.unwrap();
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(read(output).await.unwrap(), 2);
    assert_eq!((busy.asked(), busy.initialized()), (1, 1));
}
