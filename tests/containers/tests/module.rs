//! A container as a module: it answers, streams, is held to its limits, and goes when it is told to.

#![cfg(target_os = "linux")]

use std::{process::Command, time::Duration};

use containers::left;
use futures_util::StreamExt as _;
use synapse_container::{ContainerSpec, Owner, Runtime, Sandbox};
use synapse_core::{Error, HealthStatus, InferenceModule, Input, Message, Task, Wire};
use synapse_http::OpenAi;
use synapse_miner::{
    container::{Builder, ContainerModule, ContainerSpawner},
    scale::Spawner as _,
};

/// A runtime of the test `name`, with nothing of earlier ones left.
async fn runtime(name: &str) -> Runtime {
    let owner = Owner::new(format!("test-{name}")).expect("a name");
    let runtime = Runtime::connect_to(&parts::docker(), owner)
        .await
        .expect("Docker runs");
    runtime.reconcile().await.expect("it answers");
    runtime
}

fn small(image: &str) -> ContainerSpec {
    ContainerSpec::new(image).memory(64 << 20).cpus(0.5).processes(32)
}

fn module(runtime: &Runtime, spec: ContainerSpec) -> Builder {
    ContainerModule::builder(runtime.clone(), spec)
        .ready_within(Duration::from_secs(60))
        .patience(Duration::from_secs(10))
}

fn hello() -> Input {
    Input::chat("shout", [Message::user("hello there")])
}

fn streamed(body: &'static str) -> Input {
    let json = "application/json".parse().expect("a content type");
    let wire = Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body);
    Input::from_wire(Task::CHAT, wire)
}

async fn text(module: &dyn InferenceModule, input: Input) -> Result<String, Error> {
    let mut output = module.run_inference(input).await?;
    let mut said = String::new();
    while let Some(chunk) = output.body.next().await {
        for delta in chunk?.deltas()? {
            said.push_str(&delta.text);
        }
    }
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_a_module() {
    let runtime = runtime("answers").await;
    let module = module(&runtime, small(&parts::image("shout")))
        .start()
        .await
        .expect("it becomes ready");
    assert_eq!(module.get_capabilities().name, "shout");
    assert_eq!(
        module.health_check().await.expect("it answers").status(),
        HealthStatus::Ready
    );
    assert_eq!(text(&module, hello()).await.expect("an answer"), "HELLO THERE");
    module.shutdown().await.expect("it ends");
    assert_eq!(left(&parts::docker(), "test-answers"), [""; 0]);
    let after = module.run_inference(hello()).await.expect_err("it ended");
    assert_eq!(after.code(), "shut_down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_drained_before_the_container_goes() {
    let runtime = runtime("drains").await;
    let spec = small(&parts::image("shout")).command(["--times", "10", "--pause-ms", "100"]);
    let module = module(&runtime, spec).start().await.expect("it becomes ready");
    let body = r#"{"model":"shout","stream":true,"messages":[{"role":"user","content":"hello there"}]}"#;
    let mut output = module.run_inference(streamed(body)).await.expect("it begins");
    let (said, ended) = tokio::join!(
        async {
            let mut said = 0;
            while let Some(chunk) = output.body.next().await {
                let chunk = chunk.expect("it is not cut");
                let deltas = chunk.deltas().expect("they are events");
                said += deltas.iter().filter(|delta| !delta.text.is_empty()).count();
            }
            said
        },
        module.shutdown()
    );
    ended.expect("it ends");
    assert_eq!(said, 20, "each word came");
    assert_eq!(left(&parts::docker(), "test-drains"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_gvisor_it_answers_too() {
    let runtime = runtime("gvisor").await;
    let spec = small(&parts::image("shout"))
        .memory(256 << 20)
        .cpus(1.0)
        .processes(128)
        .sandbox(Sandbox::GVisor);
    let module = module(&runtime, spec).start().await.expect("it becomes ready");
    assert_eq!(text(&module, hello()).await.expect("an answer"), "HELLO THERE");
    module.shutdown().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_told_apart_and_one_that_dies_is_started_again() {
    let runtime = runtime("replicas").await;
    let spawner = ContainerSpawner::new(module(&runtime, small(&parts::image("shout"))));
    let (first, second) = tokio::join!(spawner.start(0), spawner.start(1));
    let (first, second) = (
        first.expect("it becomes ready"),
        second.expect("it becomes ready"),
    );
    let before = left(&parts::docker(), "test-replicas");
    let victim = before
        .iter()
        .find(|name| name.starts_with("synapse-test-replicas-0-"))
        .expect("its number is in its name");
    let killed = Command::new("/usr/bin/docker")
        .args(["--host", &parts::docker(), "kill", victim])
        .output()
        .expect("Docker's client is there");
    assert!(killed.status.success());
    assert_eq!(text(&*second, hello()).await.expect("an answer"), "HELLO THERE");

    let since = std::time::Instant::now();
    loop {
        match text(&*first, hello()).await {
            Ok(said) if left(&parts::docker(), "test-replicas") != before => {
                assert_eq!(said, "HELLO THERE");
                break;
            }
            // Refused or cut, and said so.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "it is not started again"
        );
    }
    println!(
        "answered again {:.1} s after it was killed",
        since.elapsed().as_secs_f64()
    );
    let metrics = first.get_metrics();
    assert_eq!(metrics.get("container.restarts", &[("replica", "0")]), Some(1.0));
    drop(second);
    first.shutdown().await.expect("it ends");
    // Dropped without a word, it goes too.
    let since = std::time::Instant::now();
    while !left(&parts::docker(), "test-replicas").is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "a container is left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
