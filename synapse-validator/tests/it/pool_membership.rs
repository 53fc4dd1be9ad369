//! Who joins, leaves, moves, falls silent and comes back.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use synapse_core::{Body, Chunk, Delta, ErrorKind, HealthStatus, InferenceModule, ModelInfo, Output, Retry};
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, Miner, ask, chat_with, endless_reply, read};

#[tokio::test(start_paused = true)]
async fn starts_with_no_miner_up_and_serves_once_one_is() {
    let miner = Miner::down();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    let health = pool.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.reason()),
        (HealthStatus::Unhealthy, Some("no miner is ready"))
    );
    let refused = pool.run_inference(ask("m")).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code(), refused.retry()),
        (
            ErrorKind::Unavailable,
            "no_miner_ready",
            Retry::After(Duration::from_secs(1))
        )
    );
    miner.set_up(true);
    sleep(Duration::from_secs(5)).await;
    assert!(pool.run_inference(ask("m")).await.is_ok());
    assert_eq!(pool.health_check().await.unwrap().status(), HealthStatus::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_hangs_does_not_hold_up_the_start() {
    let (hanging, good) = (Miner::hanging(), Miner::good());
    let fleet = Fleet::of([("a", &hanging), ("b", &good)]);
    let started = Instant::now();
    let pool = fleet.pool().startup_wait(Duration::from_secs(2));
    pool.initialize().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 2);
    assert!(pool.run_inference(ask("m")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn initialising_twice_starts_once() {
    let miner = Miner::good();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    pool.initialize().await.unwrap();
    assert_eq!(miner.initialized(), 1);
}

#[tokio::test(start_paused = true)]
async fn backs_off_from_a_miner_that_does_not_answer() {
    let miner = Miner::down();
    let fleet = Fleet::of([("a", &miner)]);
    let _pool = fleet.ordered().await;
    sleep(Duration::from_secs(600)).await;
    assert!(
        (10..60).contains(&miner.initialized()),
        "tried {} times in 10 minutes",
        miner.initialized()
    );
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_asked_and_who_leaves_is_not() {
    let (a, b) = (Miner::good(), Miner::good());
    let fleet = Fleet::of([("a", &a)]);
    let pool = fleet.ordered().await;
    fleet.join("0", &b);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        pool.run_inference(ask("m")).await.unwrap().head.served_by(),
        Some(&"0".into())
    );
    fleet.leave("0");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        pool.run_inference(ask("m")).await.unwrap().head.served_by(),
        Some(&"a".into())
    );
    assert_eq!((b.shut_down(), a.shut_down()), (1, 0));
    assert_eq!(pool.get_metrics().get("pool.members", &[]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_ends_its_replies_before_it_is_shut_down() {
    let miner = Miner::new(|_| async { Ok(endless_reply()) });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    let mut output = pool.run_inference(ask("m")).await.unwrap();
    assert!(output.body.next().await.unwrap().is_ok());
    fleet.leave("a");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(miner.shut_down(), 0, "a reply is under way");
    drop(output);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(miner.shut_down(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_never_ends_does_not_hold_up_the_drain_for_ever() {
    let miner = Miner::new(|_| async { Ok(endless_reply()) });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.pool().drain(Duration::from_secs(7));
    pool.initialize().await.unwrap();
    let output = pool.run_inference(ask("m")).await.unwrap();
    let started = Instant::now();
    pool.shutdown().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 7);
    assert_eq!(miner.shut_down(), 1);
    let error = read(output).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broken, "miner_left"));
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_drain_is_ended_or_sent_elsewhere() {
    let words = || {
        stream::iter(0..).then(|_| async {
            sleep(Duration::from_millis(100)).await;
            Ok(Chunk::delta(Delta::text("word ")))
        })
    };
    let leaving = Miner::new(move |input| async move {
        if input.model()? == "m" {
            std::future::pending().await
        } else {
            Ok(Output::new(Body::new(words())))
        }
    })
    .serving(chat_with("m").with_model(ModelInfo::new("streamed")));
    let fleet = Fleet::of([("a", &leaving), ("b", &Miner::good())]);
    let pool = fleet.ordered().await;
    let output = pool.run_inference(ask("streamed")).await.unwrap();
    let started = Instant::now();
    let (whole, streamed, ()) = tokio::join!(
        async {
            let output = pool.run_inference(ask("m")).await.unwrap();
            assert_eq!(output.head.served_by(), Some(&"b".into()));
            started.elapsed().as_secs()
        },
        async {
            (
                read(output).await.unwrap_err().code().to_owned(),
                started.elapsed().as_secs(),
            )
        },
        async {
            sleep(Duration::from_millis(1)).await;
            fleet.leave("a");
        },
    );
    assert_eq!(
        (whole, streamed),
        (30, ("miner_left".to_owned(), 30)),
        "although it moves"
    );
    assert_eq!(leaving.shut_down(), 1);

    let alone = Miner::new(|_| std::future::pending());
    let fleet = Fleet::of([("a", &alone)]);
    let pool = fleet.ordered().await;
    let (error, ()) = tokio::join!(async { pool.run_inference(ask("m")).await.unwrap_err() }, async {
        sleep(Duration::from_millis(1)).await;
        fleet.leave("a");
    },);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "miner_left")
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_moves_is_connected_anew() {
    let (old, new) = (Miner::new(|_| async { Ok(endless_reply()) }), Miner::good());
    let fleet = Fleet::of([("a", &old)]);
    let pool = fleet.ordered().await;
    let under_way = pool.run_inference(ask("m")).await.unwrap();
    fleet.join_at("a", "elsewhere", &new);
    sleep(Duration::from_millis(1)).await;
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!((read(output).await.unwrap(), old.asked(), new.asked()), (2, 1, 1));
    assert_eq!(old.shut_down(), 0, "its reply is under way");
    drop(under_way);
    sleep(Duration::from_millis(1)).await;
    assert_eq!((old.shut_down(), new.shut_down()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_falls_silent_is_asked_again_once_it_answers() {
    let (a, b) = (Miner::good(), Miner::good());
    let fleet = Fleet::of([("a", &a), ("b", &b)]);
    let pool = fleet.ordered().await;
    a.set_up(false);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(
        pool.run_inference(ask("m")).await.unwrap().head.served_by(),
        Some(&"b".into())
    );
    assert_eq!(pool.get_metrics().get("pool.ready", &[]), Some(1.0));
    a.set_up(true);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        pool.run_inference(ask("m")).await.unwrap().head.served_by(),
        Some(&"a".into())
    );
    assert!(a.initialized() >= 2);
}

#[tokio::test(start_paused = true)]
async fn one_missed_look_is_forgiven_and_two_are_not() {
    let miner = Miner::good();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    for (missed, initialized) in [(1, 1), (2, 2)] {
        miner.miss(missed);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(miner.initialized(), initialized, "{missed} missed");
        assert!(pool.run_inference(ask("m")).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn capabilities_are_those_of_all_who_are_ready() {
    let mut strong = chat_with("m").with_model(
        ModelInfo::new("large")
            .with_context_length(4096)
            .with_digest("sha256:a"),
    );
    strong.top_logprobs = 20;
    let mut weak = chat_with("m").with_model(
        ModelInfo::new("large")
            .with_context_length(2048)
            .with_digest("sha256:b"),
    );
    weak.top_logprobs = 5;
    let (a, b) = (Miner::good().serving(strong), Miner::good().serving(weak));
    let down = Miner::down().serving(chat_with("unreachable"));
    let fleet = Fleet::of([("a", &a), ("b", &b), ("c", &down)]);
    let pool = fleet.ordered().await;
    let can = pool.get_capabilities();
    let models: Vec<&str> = can.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(models, ["m", "large"]);
    assert_eq!(can.model("large").unwrap().context_length, Some(2048));
    assert_eq!(
        can.model("large").unwrap().digest.as_deref(),
        Some("sha256:a"),
        "the first one's"
    );
    assert_eq!(can.top_logprobs, 5);

    b.clone().serving(chat_with("new"));
    sleep(Duration::from_secs(30)).await;
    assert!(pool.get_capabilities().model("new").is_some(), "looked at again");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_everything_and_twice_is_once() {
    let (a, b) = (Miner::good(), Miner::down());
    let fleet = Fleet::of([("a", &a), ("b", &b)]);
    let pool = fleet.ordered().await;
    let tasks = tokio::runtime::Handle::current().metrics();
    assert!(tasks.num_alive_tasks() > 0);
    pool.shutdown().await.unwrap();
    pool.shutdown().await.unwrap();
    assert_eq!(tasks.num_alive_tasks(), 0);
    assert_eq!((a.shut_down(), b.shut_down()), (1, 1));
    assert_eq!(
        pool.run_inference(ask("m")).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    pool.initialize().await.unwrap();
    assert!(
        pool.run_inference(ask("m")).await.is_ok(),
        "it may be started again"
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_ends_its_tasks() {
    let miner = Miner::good();
    let fleet = Fleet::of([("a", &miner)]);
    let before = miner.held();
    let pool = fleet.ordered().await;
    drop(pool);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(miner.held(), before);
}

#[tokio::test(start_paused = true)]
async fn a_miner_whose_health_check_panics_takes_nobody_down() {
    #[derive(Debug)]
    struct Panics;
    #[synapse_core::async_trait]
    impl InferenceModule for Panics {
        async fn initialize(&self) -> Result<(), synapse_core::Error> {
            panic!("scripted")
        }
        async fn health_check(&self) -> Result<synapse_core::Health, synapse_core::Error> {
            panic!("scripted")
        }
        fn get_capabilities(&self) -> synapse_core::ModuleCapabilities {
            panic!("scripted")
        }
        async fn run_inference(
            &self,
            _: synapse_core::Input,
        ) -> Result<synapse_core::Output, synapse_core::Error> {
            panic!("scripted")
        }
        fn get_metrics(&self) -> synapse_core::MetricsData {
            panic!("scripted")
        }
    }
    use std::sync::Arc;
    use synapse_core::{BlockNumber, Directory, Endpoint, Member, Role, Watch};
    let endpoint = Endpoint::http("http://127.0.0.1:1").unwrap();
    let members = ["bad", "good"].map(|name| Member::new(name, Role::Miner).with_endpoint(endpoint.clone()));
    let directory = Watch::constant(Directory::new(members, BlockNumber(1)));
    let pool = synapse_validator::MinerPool::watch(directory, |member: &Member| {
        Ok(if member.node.as_str() == "bad" {
            Arc::new(Panics) as Arc<dyn InferenceModule>
        } else {
            Arc::new(Miner::good())
        })
    });
    pool.initialize().await.unwrap();
    assert_eq!(pool.get_metrics().get("pool.ready", &[]), Some(1.0));
    assert!(pool.run_inference(ask("m")).await.is_ok());
}
