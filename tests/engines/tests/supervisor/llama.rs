//! llama-server.

use std::{error::Error as _, time::Duration};

use futures_util::StreamExt as _;
use rustix::process::Signal;
use synapse_core::{ErrorKind, InferenceModule as _, Retry, testkit::Conformance};
use synapse_http::OpenAiModule;
use synapse_miner::{
    inference::LlamaServerModule,
    scale::Spawner as _,
    supervisor::{EngineDeath, EnginePhase, EngineReplicas, RestartPolicy, Supervised, Watchdog},
};
use tokio::time::{Instant, timeout};

use crate::watched::{PATIENCE, RECOVERY, Watched, group, llama, read, tell};

#[tokio::test]
async fn killed_mid_stream_it_is_started_again_and_the_reply_says_why_it_broke() {
    let engine = Watched::ready(llama(), "smollm2").await;
    let load = engine.status().starting.unwrap();
    let mut body = engine.begin(400).await;
    body.next().await.unwrap().unwrap();
    let killed = Instant::now();
    engine.signal(Signal::KILL);
    let error = read(&mut body).await.expect_err("it broke off");
    assert!(
        killed.elapsed() < Duration::from_secs(3),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broken, "engine_died"));
    assert!(
        error.message().contains("llama-server was killed by signal 9"),
        "{error}"
    );
    let death: &EngineDeath = error.source().unwrap().downcast_ref().unwrap();
    assert!(
        death.last_line().is_some(),
        "what it wrote last is there for the operator"
    );

    let refused = engine.ask().await.expect_err("it is down");
    assert!(
        ["engine_down", "engine_starting"].contains(&refused.code()),
        "{refused:?}"
    );
    assert_eq!(
        (refused.kind(), refused.retry()),
        (ErrorKind::Unavailable, Retry::Elsewhere)
    );
    assert!(refused.retry_after().is_some());
    engine.answers_again().await;
    let gone = killed.elapsed();
    let load = load.max(engine.status().starting.unwrap());
    tell("llama-server killed -9 mid-stream", gone);
    assert!(gone < RECOVERY + load, "{gone:?}");
    let said = engine.said("engine_killed");
    assert!(said[0].contains("1 request was under way"), "{said:?}");
    assert_eq!(engine.status().deaths, 1);
    engine.end().await;
}

#[tokio::test]
async fn frozen_mid_stream_it_is_killed_and_started_again() {
    let engine = Watched::ready(llama(), "smollm2").await;
    let load = engine.status().starting.unwrap();
    let mut body = engine.begin(400).await;
    let frozen = Instant::now();
    engine.signal(Signal::STOP);
    let error = read(&mut body).await.expect_err("it broke off");
    assert_eq!(error.code(), "engine_died");
    assert!(error.message().contains("stopped by a signal"), "{error}");
    engine.answers_again().await;
    let gone = frozen.elapsed();
    let load = load.max(engine.status().starting.unwrap());
    tell("llama-server frozen with SIGSTOP", gone);
    assert!(gone < RECOVERY + load, "{gone:?}");
    assert_eq!(engine.status().hangs, 1);
    engine.end().await;
}

#[tokio::test]
async fn a_long_prompt_and_a_long_silence_are_no_hang() {
    let watchdog = Watchdog::default()
        .every(Duration::from_millis(200))
        .stuck(PATIENCE / 2);
    let engine = Watched::ready(llama().context(1024).watchdog(watchdog), "smollm2").await;
    let long = "one two three four five six seven eight nine ten ".repeat(40);
    let input = engine.input(4, &long);
    let mut body = timeout(PATIENCE, engine.module.run_inference(input))
        .await
        .unwrap()
        .unwrap()
        .body;
    read(&mut body).await.unwrap();
    engine
        .until("idle", |status| {
            status
                .load
                .as_ref()
                .is_some_and(|(_, load)| load.busy == Some(0) && load.prompt_tokens > Some(300))
        })
        .await;
    assert_eq!((engine.status().hangs, engine.status().deaths), (0, 0));
    engine.end().await;
}

#[tokio::test]
async fn its_load_is_read_and_a_caller_who_leaves_frees_the_slot() {
    let watchdog = Watchdog::default().every(Duration::from_millis(200));
    let engine = Watched::ready(llama().watchdog(watchdog), "smollm2").await;
    let body = engine.begin(400).await;
    engine
        .until("busy", |status| {
            status.load.as_ref().is_some_and(|(_, load)| {
                load.busy == Some(1) && load.slots == Some(2) && load.kv_cache_used > Some(0.0)
            })
        })
        .await;
    let capacity = engine.module.health_check().await.unwrap().capacity().unwrap();
    assert_eq!((capacity.slots, capacity.busy), (Some(2), 1));
    let metrics = engine.module.get_metrics();
    let of = &[("engine", "llama-server")];
    assert_eq!(metrics.get("engine.up", of), Some(1.0));
    assert_eq!(metrics.get("engine.slots", of), Some(2.0));
    drop(body);
    engine
        .until("free", |status| {
            status.load.as_ref().is_some_and(|(_, load)| load.busy == Some(0))
        })
        .await;
    engine.end().await;
}

#[tokio::test]
async fn a_module_of_it_passes_the_conformance_suite() {
    let module = Supervised::start(llama(), |url| async move {
        LlamaServerModule::local(OpenAiModule::builder(url))
    });
    // Replies are sampled: a text that goes on, so that none ends before its first word.
    Conformance::new()
        .prompt("Once upon a time, in a small village by the sea, there was a")
        .timeout(PATIENCE)
        .run(module.unwrap())
        .await
        .assert();
}

#[tokio::test]
async fn a_wished_restart_lets_replies_end() {
    let engine = Watched::ready(llama(), "smollm2").await;
    let mut body = engine.begin(48).await;
    let before = engine.pid();
    let module = engine.module.clone();
    let restart = tokio::spawn(async move { module.supervisor().restart().await });
    engine
        .until("draining", |status| status.phase == EnginePhase::Draining)
        .await;
    let refused = engine.ask().await.expect_err("it takes nothing new");
    assert_eq!(refused.code(), "engine_draining");
    read(&mut body).await.expect("the whole reply");
    restart.await.unwrap().unwrap();
    assert_ne!(engine.pid(), before);
    assert_eq!(engine.status().deaths, 0);
    engine.answers_again().await;
    engine.end().await;
}

#[tokio::test]
async fn one_that_dies_again_and_again_stays_down_until_it_is_told() {
    let policy = RestartPolicy::default()
        .backoff(Duration::from_millis(50), Duration::from_millis(200))
        .crash_loop(3, Duration::from_secs(300));
    let engine = Watched::ready(llama().restart(policy), "smollm2").await;
    for death in 1..=3 {
        engine
            .until("up", |status| status.phase == EnginePhase::Ready)
            .await;
        engine.signal(Signal::KILL);
        engine.until("dead", |status| status.deaths == death).await;
    }
    let status = engine.status();
    assert!(status.crash_loop && status.phase == EnginePhase::Down);
    let why = engine.is_unhealthy().await;
    assert!(
        why.contains("died too often") && why.contains("signal 9"),
        "{why}"
    );
    assert!(engine.said("engine_killed")[2].contains("stays down"));
    let refused = engine.ask().await.expect_err("it is down");
    assert!(
        refused.retry_after() > Some(Duration::from_secs(60)),
        "{refused:?}"
    );
    let told = Instant::now();
    timeout(PATIENCE, engine.module.supervisor().restart())
        .await
        .unwrap()
        .unwrap();
    engine.answers_again().await;
    tell("llama-server after a crash loop, told to", told.elapsed());
    engine.end().await;
}

#[tokio::test]
async fn replicas_have_names_and_ports_of_their_own() {
    let replicas = EngineReplicas::new(llama().name("replica"), |url| async move {
        OpenAiModule::builder(url).build()
    });
    let (first, second) = tokio::join!(replicas.start(0), replicas.start(1));
    let (first, second) = (first.unwrap(), second.unwrap());
    for (number, replica) in [&first, &second].into_iter().enumerate() {
        let name = format!("replica-{number}");
        assert_eq!(
            replica.get_metrics().get("engine.up", &[("engine", &name)]),
            Some(1.0)
        );
    }
    first.shutdown().await.unwrap();
    assert_eq!(
        first.get_metrics().get("engine.up", &[("engine", "replica-0")]),
        Some(0.0)
    );
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn dropped_it_ends() {
    let engine = Watched::ready(llama(), "smollm2").await;
    let pid = engine.pid();
    drop(engine);
    let since = Instant::now();
    while !group(pid).is_empty() {
        assert!(since.elapsed() < PATIENCE, "it lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
