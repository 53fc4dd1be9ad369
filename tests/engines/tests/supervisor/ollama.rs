//! Ollama, whose models run in processes of their own.

use std::{fs, time::Duration};

use futures_util::StreamExt as _;
use parts::ollama_image::Image;
use rustix::process::Signal;
use synapse_core::InferenceModule as _;
use synapse_miner::{
    ollama::OllamaModule,
    supervisor::{EngineEvent, EngineSpec, RestartPolicy, WarmUp},
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::watched::{RECOVERY, Watched, group, read, send, tell};

const MODEL: &str = "smollm2:latest";

/// A real Ollama with the chat model in a store of its own.
fn ollama(kind: &str) -> (TempDir, EngineSpec) {
    let home = tempfile::tempdir().unwrap();
    let models = home.path().join("models");
    fs::create_dir_all(&models).unwrap();
    Image::smollm2().store(&models, "smollm2");
    let spec = EngineSpec::ollama(parts::ollama(kind))
        .env("HOME", home.path())
        .env("OLLAMA_MODELS", models)
        .env("OLLAMA_NO_CLOUD", "1")
        .context(512)
        .slots(1)
        .warm_up(WarmUp::ollama(MODEL))
        .restart(RestartPolicy::default().backoff(Duration::from_millis(200), Duration::from_secs(2)));
    (home, spec)
}

#[tokio::test]
async fn killed_mid_stream_it_is_warm_again_when_it_answers() {
    let (_home, spec) = ollama("self-contained");
    let engine = Watched::ready(spec, MODEL).await;
    let load = engine.status().starting.unwrap();
    let before = engine.pid();
    assert!(group(before).len() >= 2, "its runner is in its group");
    let mut body = engine.begin(200).await;
    body.next().await.unwrap().unwrap();
    let killed = Instant::now();
    engine.signal(Signal::KILL);
    let error = read(&mut body).await.expect_err("it broke off");
    assert_eq!(error.code(), "engine_died");
    engine.answers_again().await;
    let gone = killed.elapsed();
    let load = load.max(engine.status().starting.unwrap());
    tell("ollama killed -9 mid-stream, its model loaded again", gone);
    assert!(gone < RECOVERY + load, "{gone:?} {load:?}");
    assert!(group(before).is_empty(), "no runner is left");
    let ready = engine.events("engine_ready");
    let EngineEvent::Ready {
        warmed_in, gone_for, ..
    } = &ready[1]
    else {
        panic!("{ready:?}");
    };
    assert!(warmed_in.is_some() && gone_for.is_some());
    engine.end().await;
}

#[tokio::test]
async fn its_frozen_runner_is_found_although_it_answers_itself() {
    let (_home, spec) = ollama("self-contained");
    let engine = Watched::ready(spec, MODEL).await;
    let load = engine.status().starting.unwrap();
    let leader = engine.pid();
    let mut body = engine.begin(200).await;
    let frozen = Instant::now();
    for runner in group(leader).into_iter().filter(|pid| *pid != leader) {
        send(runner, Signal::STOP);
    }
    let error = read(&mut body).await.expect_err("it broke off");
    assert_eq!(error.code(), "engine_died");
    engine.answers_again().await;
    let gone = frozen.elapsed();
    let load = load.max(engine.status().starting.unwrap());
    tell("ollama with its runner frozen", gone);
    assert!(gone < RECOVERY + load, "{gone:?} {load:?}");
    assert_eq!(engine.status().hangs, 1);
    let models = engine.module.get_metrics();
    assert_eq!(models.get("engine.up", &[("engine", "ollama")]), Some(1.0));
    engine.end().await;
}

#[tokio::test]
async fn a_model_that_it_does_not_have_is_told() {
    let (_home, spec) = ollama("self-contained");
    let engine = Watched::start(spec.warm_up(WarmUp::ollama("nobody-has-this")), MODEL);
    engine.answers_again().await;
    let said = engine.said("engine_not_warm");
    assert!(said[0].contains("404"), "{said:?}");
    engine.end().await;
}

/// Of `kind`, with its own module: killed while a reply is under way, it answers again, and no process of it is left.
async fn its_own_module_outlives_it(kind: &str) {
    let (_home, spec) = ollama(kind);
    let engine = Watched::ready_as(
        spec,
        MODEL,
        |url| async move { OllamaModule::builder(url).build() },
    )
    .await;
    let load = engine.status().starting.unwrap();
    let before = engine.pid();
    let mut body = engine.begin(200).await;
    body.next().await.unwrap().unwrap();
    let processes = group(before);
    assert!(processes.len() >= 2, "its runner is in its group");
    let killed = Instant::now();
    engine.signal(Signal::KILL);
    let error = read(&mut body).await.expect_err("it broke off");
    assert_eq!(error.code(), "engine_died");
    engine.answers_again().await;
    let gone = killed.elapsed();
    let load = load.max(engine.status().starting.unwrap());
    tell(
        &format!("ollama ({kind}) behind its own module, killed -9 mid-stream"),
        gone,
    );
    assert!(gone < RECOVERY + load, "{gone:?} {load:?}");
    for pid in processes {
        assert!(is_gone(pid), "process {pid} is left");
    }
    assert!(group(before).is_empty());
    let can = engine.module.get_capabilities();
    assert!(can.model(MODEL).is_some(), "{can:?}");
    engine.end().await;
}

fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[tokio::test]
async fn its_own_module_goes_on_after_it_was_killed() {
    its_own_module_outlives_it("self-contained").await;
}

#[tokio::test]
async fn the_current_one_leaves_no_llama_server_when_it_is_killed() {
    its_own_module_outlives_it("current").await;
}
