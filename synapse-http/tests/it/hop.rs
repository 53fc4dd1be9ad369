//! Modules reached through our own server: what one says arrives, through as many hops as there are.

use std::time::Duration;

use futures_util::StreamExt;
use synapse_core::{
    Bytes, Chunk, Delta, Error, FinishReason, HealthStatus, InferenceModule, Input, Message, ModuleExt,
    Output, Prompt, QueueWait, Request, Task, from_fn,
    testkit::{self, Echo, Scripted},
};
use synapse_http::{Api, OpenAiModule, router};

use crate::{
    modules::replays,
    server::{Running, start},
};

fn reach(running: &Running) -> OpenAiModule {
    OpenAiModule::builder(format!("http://{}", running.address))
        .build()
        .unwrap()
}

fn ask(model: &str, stream: bool) -> Input {
    let prompt = Prompt::Messages(vec![Message::user("one two three")]);
    let request = Request::new(model, prompt).with_params(|params| params.stream = stream);
    Input::from_request(Task::CHAT, request)
}

async fn bytes(output: Output) -> Vec<Bytes> {
    let chunks: Vec<_> = output.body.collect().await;
    chunks
        .into_iter()
        .map(|chunk| chunk.unwrap().wire().unwrap().clone())
        .collect()
}

async fn text(output: Output) -> Result<String, Error> {
    let mut text = String::new();
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        for delta in chunk?.deltas()? {
            text.push_str(&delta.text);
        }
    }
    Ok(text)
}

#[tokio::test]
async fn a_module_behind_a_hop_passes_the_behaviour_suite() {
    let running = start(router(Echo::new())).await;
    testkit::conformance(reach(&running)).await.assert();
}

#[tokio::test]
async fn replies_streamed_or_whole_arrive_through_two_hops() {
    let miner = start(router(Echo::new())).await;
    let gateway = start(router(reach(&miner))).await;
    let module = reach(&gateway);
    module.initialize().await.unwrap();
    assert!(module.get_capabilities().serves(&Task::CHAT, "echo"));
    assert_eq!(module.health_check().await.unwrap().status(), HealthStatus::Ready);
    for stream in [true, false] {
        let output = module.run_inference(ask("echo", stream)).await.unwrap();
        assert_eq!(text(output).await.unwrap(), "one two three");
    }
    let events = bytes(module.run_inference(ask("echo", true)).await.unwrap()).await;
    assert!(events.len() > 4, "{events:?}");
    assert_eq!(events.last().unwrap(), "data: [DONE]\n\n");
    assert_eq!(
        bytes(module.run_inference(ask("echo", false)).await.unwrap())
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn errors_keep_their_code_through_two_hops() {
    let miner = start(router(Echo::new())).await;
    let gateway = start(router(reach(&miner))).await;
    let error = reach(&gateway)
        .run_inference(ask("another", true))
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.param()), ("model_not_found", Some("model")));
    assert_eq!(error.message(), "the model \"another\" is not served here");
}

#[tokio::test]
async fn a_reply_that_breaks_in_the_middle_is_broken_at_the_end_of_each_hop() {
    let broken = Scripted::new(|_| async {
        let chunks = [
            Ok(synapse_core::Chunk::delta(Delta::text("Red"))),
            Err(Error::broken("engine_died", "the engine died")),
        ];
        Ok(Output::new(synapse_core::Body::new(futures_util::stream::iter(
            chunks,
        ))))
    });
    let miner = start(router(broken)).await;
    let gateway = start(router(reach(&miner))).await;
    let output = reach(&gateway)
        .run_inference(ask("scripted", true))
        .await
        .unwrap();
    assert_eq!(text(output).await.unwrap_err().code(), "engine_died");
    let error = reach(&gateway)
        .run_inference(ask("scripted", false))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "engine_died");
}

#[tokio::test]
async fn controls_of_a_reply_that_is_not_streamed_arrive_through_two_hops() {
    let chunks = vec![
        Ok(Chunk::control("commitment", "{\"root\":\"ab\"}")),
        Ok(Chunk::control("miner", "not a control")),
        Ok(Chunk::last("{\"choices\":[]}")),
    ];
    // How long it waited is no control.
    let waited = from_fn(|input: Input, next| async move {
        let mut output = next.run(input).await?;
        let wait = QueueWait::new(2, Duration::ZERO, Duration::from_millis(1_500));
        output.head.extensions_mut().insert(wait);
        Ok(output)
    });
    let module = replays(Some("application/json"), chunks).with(waited);
    let miner = start(Api::builder(module).controls(true).node_id("miner-1")).await;
    let gateway = start(Api::builder(reach(&miner)).controls(true)).await;
    let output = reach(&gateway)
        .run_inference(ask("scripted", false))
        .await
        .unwrap();
    assert_eq!(output.head.served_by().unwrap().as_str(), "miner-1");
    let chunks: Vec<_> = output.body.map(Result::unwrap).collect().await;
    let controls: Vec<_> = chunks.iter().filter_map(Chunk::as_control).collect();
    assert_eq!(controls, [("commitment", &"{\"root\":\"ab\"}".into())]);
    assert!(chunks.len() == 2 && chunks[1].is_last());
    assert_eq!(chunks[1].wire().unwrap(), "{\"choices\":[]}");
}

#[tokio::test]
async fn a_finish_alone_is_a_reply() {
    let silent = Scripted::new(|_| async {
        Ok(Output::new(synapse_core::Body::from_deltas([Delta::finish(
            FinishReason::Stop,
        )])))
    });
    let miner = start(router(silent)).await;
    for stream in [true, false] {
        let output = reach(&miner)
            .run_inference(ask("scripted", stream))
            .await
            .unwrap();
        assert_eq!(text(output).await.unwrap(), "");
    }
}
