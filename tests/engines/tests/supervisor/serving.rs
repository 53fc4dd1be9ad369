//! What befalls an engine while it serves and others wait for it: whoever was taken in is answered, or told that he is not.

use std::time::Duration;

use futures_util::StreamExt as _;
use rustix::process::Signal;
use synapse_core::{Body, Error, ErrorKind, InferenceModule, ModuleExt as _, Retry};
use synapse_miner::{QueueLayer, supervisor::EngineDeath};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    memory::Group,
    watched::{PATIENCE, RECOVERY, Watched, llama, read, tell},
};

const WAITING: usize = 3;

/// An engine that works on one request, whose reply has begun, and others in the queue before it.
struct Busy {
    engine: Watched,
    body: Body,
    waiting: Vec<JoinHandle<Result<String, Error>>>,
    load: Duration,
}

impl Busy {
    async fn with(engine: Watched) -> Self {
        let queue = QueueLayer::bounded(8).concurrency(1);
        let stack = engine.module.clone().with(queue.clone()).attach(queue.clone());
        let long = engine.input(400, "Count from one to a thousand, in words.");
        let begun = timeout(PATIENCE, stack.run_inference(long))
            .await
            .expect("in time");
        let mut body = begun.expect("a reply begins").body;
        for _ in 0..4 {
            body.next().await.expect("a reply of many words").unwrap();
        }
        let waiting = (0..WAITING).map(|_| {
            let (stack, input) = (stack.clone(), engine.input(4, "Say hi."));
            tokio::spawn(async move { read(&mut stack.run_inference(input).await?.body).await })
        });
        let waiting = waiting.collect();
        while queue.waiting() < WAITING {
            sleep(Duration::from_millis(5)).await;
        }
        let load = engine.status().starting.unwrap();
        Self {
            engine,
            body,
            waiting,
            load,
        }
    }

    /// Waits for what becomes of everybody, and until the engine answers again.
    async fn recovers(mut self, since: Instant, what: &str) -> (Watched, Error) {
        let broken = read(&mut self.body).await.expect_err("it broke off");
        assert_eq!((broken.kind(), broken.code()), (ErrorKind::Broken, "engine_died"));
        let mut answered = 0;
        for one in self.waiting {
            let outcome = timeout(PATIENCE, one).await.expect("nobody is forgotten");
            match outcome.unwrap() {
                Ok(text) => answered += usize::from(!text.is_empty()),
                Err(error) => {
                    let codes = ["engine_down", "engine_starting", "engine_died"];
                    assert!(codes.contains(&error.code()), "{error:?}");
                    assert_eq!(error.retry(), Retry::Elsewhere, "{error:?}");
                }
            }
        }
        self.engine.answers_again().await;
        let gone = since.elapsed();
        let load = self.load.max(self.engine.status().starting.unwrap());
        tell(
            &format!(
                "{what} while it served; of {WAITING} who waited {answered} were answered, the others told"
            ),
            gone,
        );
        assert!(gone < RECOVERY + load, "{gone:?}");
        (self.engine, broken)
    }
}

#[tokio::test]
async fn out_of_memory_while_it_serves_is_told_to_all_and_it_is_back_once_there_is_more() {
    let group = Group::with_limit("serving", 2048);
    let engine = Watched::ready(llama().cgroup(group.path()), "smollm2").await;
    let busy = Busy::with(engine).await;
    let starved = Instant::now();
    while busy.engine.status().out_of_memory == 0 {
        assert!(starved.elapsed() < PATIENCE, "it does with what it has");
        group.tighten();
        sleep(Duration::from_millis(10)).await;
    }
    let more = Instant::now();
    group.limit(2048);
    let (engine, broken) = busy.recovers(more, "llama-server out of memory").await;
    assert!(broken.message().contains("ran out of memory"), "{broken}");
    let death: &EngineDeath = std::error::Error::source(&broken)
        .unwrap()
        .downcast_ref()
        .unwrap();
    assert_eq!(death.code, "engine_out_of_memory");
    let said = engine.said("engine_out_of_memory");
    assert!(
        said[0].contains("it ran out of memory; give it more memory, fewer slots")
            && said[0].contains("1 request was under way")
            && !said[0].contains('\n'),
        "{said:?}"
    );
    engine.end().await;
}

#[tokio::test]
async fn frozen_while_others_wait_it_is_started_again_and_nobody_waits_for_ever() {
    let busy = Busy::with(Watched::ready(llama(), "smollm2").await).await;
    let frozen = Instant::now();
    busy.engine.signal(Signal::STOP);
    let (engine, broken) = busy.recovers(frozen, "llama-server frozen with SIGSTOP").await;
    assert!(broken.message().contains("stopped by a signal"), "{broken}");
    assert_eq!(engine.status().hangs, 1);
    engine.end().await;
}
