//! What operators see of a request, and what they do not.

use std::time::Duration;

use futures_util::StreamExt;
use synapse_core::{
    Body, Caller, Delta, Error, FinishReason, InferenceModule, Input, Message, ModuleExt, Output, RequestId,
    testkit::Scripted,
};
use synapse_validator::{TokenCountLayer, Tokenizers, TraceLayer};
use tokio::time::sleep;
use tower::ServiceBuilder;

use crate::log::Log;

fn ask() -> Input {
    let mut input = Input::chat("m", [Message::user("my secret prompt")]);
    input.set_max_tokens(64).unwrap();
    input.extensions_mut().insert(Caller::new("alice"));
    input.extensions_mut().insert(RequestId::from("req-1"));
    input
}

fn answering() -> Scripted {
    Scripted::new(|_| async {
        sleep(Duration::from_millis(250)).await;
        let deltas = [Delta::text("my secret reply"), Delta::finish(FinishReason::Stop)];
        let mut output = Output::new(Body::from_deltas(deltas));
        output.head = output.head.with_served_by("miner-1".into());
        Ok(output)
    })
}

#[tokio::test(start_paused = true)]
async fn a_request_is_one_event_with_the_fields_of_the_convention() {
    let log = Log::default();
    let _recording = log.record();
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .layer(TokenCountLayer::new(Tokenizers::new()));
    let output = answering().with(layers).run_inference(ask()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    output.body.count().await;
    let text = log.text();
    for field in [
        r#"gen_ai.operation.name="chat""#,
        r#"gen_ai.request.model="m""#,
        "gen_ai.request.max_tokens=64",
        "gen_ai.usage.input_tokens=5",
        "gen_ai.usage.output_tokens=4",
        r#"request.id="req-1""#,
        r#"caller="alice""#,
        r#"miner="miner-1""#,
        "time_to_first_content_ms=250",
        "duration_ms=300",
        r#"outcome="complete""#,
    ] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(text.matches("request complete").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_counted() {
    let trace = TraceLayer::new();
    let run = |module: Scripted| module.with(trace.clone()).attach(trace.clone());
    let complete = run(answering());
    complete.run_inference(ask()).await.unwrap().body.count().await;
    drop(complete.run_inference(ask()).await.unwrap());
    let failing = |error: Error| run(Scripted::new(move |_| std::future::ready(Err(error.clone()))));
    failing(Error::invalid("wrong", "wrong"))
        .run_inference(ask())
        .await
        .unwrap_err();
    failing(Error::broken("cut", "cut"))
        .run_inference(ask())
        .await
        .unwrap_err();
    let cut = run(Scripted::new(|_| async {
        Ok(Output::new(Body::from_deltas([])))
    }));
    cut.run_inference(ask()).await.unwrap().body.count().await;

    let metrics = complete.get_metrics();
    for outcome in ["complete", "dropped", "refused", "failed", "broken"] {
        let count = metrics.get("inference.requests", &[("outcome", outcome)]);
        assert_eq!(count, Some(1.0), "{outcome}");
    }
    assert_eq!(
        metrics.get("inference.time_to_first_content_seconds_count", &[]),
        Some(3.0)
    );
    assert_eq!(
        metrics.get("inference.time_to_first_content_seconds_sum", &[]),
        Some(0.5)
    );
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_recorded_by_its_code_alone() {
    let log = Log::default();
    let _recording = log.record();
    let echoing = Error::broken("cut", "my secret prompt was too much for me");
    let stack = Scripted::new(move |_| std::future::ready(Err(echoing.clone()))).with(TraceLayer::new());
    stack.run_inference(ask()).await.unwrap_err();
    let text = log.text();
    assert!(
        text.contains(r#"error.type="cut""#) && text.contains(r#"outcome="failed""#),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}
