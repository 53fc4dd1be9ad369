//! llama-server as it should not be set up.

use std::{fs, time::Duration};

use synapse_core::InferenceModule as _;
use synapse_miner::supervisor::{EnginePhase, EngineSpec};
use tokio::time::{Instant, timeout};

use crate::watched::{PATIENCE, RECOVERY, Watched, llama, llama_of, tell};

/// Starts it, and waits until it is told why it cannot run.
async fn refused(spec: EngineSpec, code: &str) -> (Watched, String) {
    let engine = Watched::start(spec, "smollm2");
    let error = timeout(PATIENCE, engine.module.initialize())
        .await
        .expect("told in time");
    let error = error.expect_err("it cannot run");
    assert_eq!(error.code(), "engine_start_failed");
    let said = engine.said(code);
    assert_eq!(said.len(), 1, "told once, in one line: {said:?}");
    assert!(!said[0].contains('\n'));
    assert_eq!(engine.status().phase, EnginePhase::Down);
    engine.is_unhealthy().await;
    (engine, said[0].clone())
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_whose_it_is_and_taken_once_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (engine, said) = refused(llama().port(port), "port_taken").await;
    let own = format!(
        "port {port} of 127.0.0.1 is taken by process {} (",
        std::process::id()
    );
    assert!(
        said.contains(&own) && said.contains("stop that process"),
        "{said}"
    );
    let freed = Instant::now();
    drop(taken);
    engine.answers_again().await;
    let gone = freed.elapsed();
    tell("llama-server after its port was free", gone);
    assert!(gone < RECOVERY + engine.status().starting.unwrap(), "{gone:?}");
    assert_eq!(engine.status().address.unwrap().port(), port);
    engine.end().await;
}

#[tokio::test]
async fn a_model_that_is_missing_is_told_and_loaded_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.gguf");
    let (engine, said) = refused(llama_of(&model), "model_missing").await;
    assert!(
        said.contains("model.gguf") && said.contains("put the file there"),
        "{said}"
    );
    let there = Instant::now();
    std::os::unix::fs::symlink(parts::model(), &model).unwrap();
    engine.answers_again().await;
    let gone = there.elapsed();
    tell("llama-server after its model was there", gone);
    assert!(gone < RECOVERY + engine.status().starting.unwrap(), "{gone:?}");
    engine.end().await;
}

#[tokio::test]
async fn a_model_that_is_damaged_is_told_and_not_tried_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.gguf");
    let whole = fs::read(parts::model()).unwrap();
    fs::write(&cut, &whole[..1 << 20]).unwrap();
    let (engine, said) = refused(llama_of(&cut), "model_unreadable").await;
    assert!(said.contains("fetch the file again"), "{said}");
    let wait = engine.status().next_start.unwrap() - Instant::now();
    assert!(wait > Duration::from_secs(60), "{wait:?}");
    let lines = engine.module.supervisor().last_lines();
    assert!(
        lines.iter().any(|line| line.contains("failed to load model")),
        "{lines:?}"
    );
    engine.end().await;

    let other = folder.path().join("other.gguf");
    fs::write(&other, "no model at all").unwrap();
    let (engine, said) = refused(llama_of(&other), "model_unreadable").await;
    assert!(said.contains("is no GGUF file"), "{said}");
    engine.end().await;
}

#[tokio::test]
async fn a_flag_or_a_program_that_is_not_there_is_told() {
    let (engine, said) = refused(llama().arg("--frobnicate").arg("1"), "engine_flag_unknown").await;
    assert!(said.contains("does not know one of its flags"), "{said}");
    engine.end().await;
    let spec = EngineSpec::llama_server("/nowhere/llama-server", parts::model());
    let (engine, said) = refused(spec, "engine_program_missing").await;
    assert!(
        said.contains("/nowhere/llama-server") && said.contains("install it"),
        "{said}"
    );
    engine.end().await;
}
