//! What is counted around an engine, on a paused clock.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, FinishReason, InferenceModule, Input, Message, ModuleExt as _,
    Output, Usage, testkit::Scripted,
};
use synapse_miner::inference::MeterLayer;
use tokio::{runtime, time::sleep};

/// Ten tokens: the first after 2 s, the others 0.5 s apart. `refuse`, `fail` and `break` inject faults.
fn engine() -> impl InferenceModule {
    let meter = MeterLayer::new();
    let module = Scripted::new(|input: Input| async move {
        let request = input.request()?;
        let asked = request.messages()[0].content.text().unwrap().into_owned();
        match asked.as_str() {
            "refuse" => {
                return Err(Error::new(
                    ErrorKind::Overloaded,
                    "queue_full",
                    "a fault of the test",
                ));
            }
            "fail" => return Err(Error::unavailable("engine_gone", "a fault of the test")),
            _ => sleep(Duration::from_secs(2)).await,
        }
        let breaks = asked == "break";
        let chunks = stream::iter(0..10).then(move |token| async move {
            if token > 0 {
                sleep(Duration::from_millis(500)).await;
            }
            match token {
                9 if breaks => Err(Error::broken("connection_cut", "a fault of the test")),
                9 => {
                    let usage = Usage {
                        input_tokens: 4,
                        output_tokens: 10,
                    };
                    let end = Delta::finish(FinishReason::Stop).with_usage(usage);
                    Ok(Chunk::delta(end).into_last())
                }
                _ => Ok(Chunk::delta(Delta::text("a "))),
            }
        });
        Ok(Output::new(Body::new(chunks)))
    });
    module.with(meter.clone()).attach(meter)
}

async fn ask(module: &impl InferenceModule, text: &str, chunks: usize) {
    let Ok(output) = module
        .run_inference(Input::chat("m", [Message::user(text)]))
        .await
    else {
        return;
    };
    let mut body = output.body;
    for _ in 0..chunks {
        let _ = body.next().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_is_counted_by_how_it_ended() {
    let module = engine();
    for (text, chunks) in [
        ("all", 99),
        ("all", 99),
        ("leave", 1),
        ("break", 99),
        ("refuse", 0),
        ("fail", 0),
    ] {
        ask(&module, text, chunks).await;
    }
    // One that leaves before anything came.
    let _ = tokio::time::timeout(Duration::from_secs(1), ask(&module, "all", 99)).await;
    let metrics = module.get_metrics();
    let outcome = |name| metrics.get("inference.requests", &[("outcome", name)]);
    assert_eq!(outcome("complete"), Some(2.0));
    assert_eq!(outcome("dropped"), Some(2.0));
    assert_eq!(outcome("broken"), Some(1.0));
    assert_eq!(outcome("refused"), Some(1.0));
    assert_eq!(outcome("failed"), Some(1.0));
    for code in ["queue_full", "engine_gone", "connection_cut"] {
        assert_eq!(
            metrics.get("inference.errors", &[("code", code)]),
            Some(1.0),
            "{code}"
        );
    }
    assert_eq!(metrics.get("inference.in_flight", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn times_are_the_replys_own_where_the_engine_says_none() {
    let module = engine();
    ask(&module, "all", 99).await;
    ask(&module, "all", 99).await;
    let metrics = module.get_metrics();
    for (name, value) in [
        ("inference.input_tokens", 8.0),
        ("inference.output_tokens", 20.0),
        ("inference.first_contents", 2.0),
        ("inference.first_content_seconds", 4.0),
        ("inference.first_content_p99_seconds", 2.0),
        // Nine tokens after the first, half a second each.
        ("inference.decode_tokens", 18.0),
        ("inference.decode_seconds", 9.0),
        ("inference.decode_tokens_per_second", 2.0),
        ("inference.prefill_tokens", 0.0),
    ] {
        let found = metrics.get(name, &[]).unwrap();
        assert!((found - value).abs() < 0.05, "{name} is {found}");
    }
}

#[tokio::test]
async fn counts_of_an_engine_that_lies_stop_at_the_most() {
    let meter = MeterLayer::new();
    let lies = r#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615},
        "timings":{"cache_n":18446744073709551615,"prompt_n":18446744073709551615,"prompt_ms":1e-300,
        "predicted_n":18446744073709551615,"predicted_ms":1e300}}"#;
    let module = Scripted::new(move |_| async move {
        let whole = stream::once(async move { Ok(Chunk::last(lies)) });
        Ok(Output::new(Body::new(whole)))
    });
    let module = module.with(meter.clone()).attach(meter);
    ask(&module, "all", 99).await;
    ask(&module, "all", 99).await;
    let metrics = module.get_metrics();
    assert_eq!(
        metrics.get("inference.requests", &[("outcome", "complete")]),
        Some(2.0)
    );
    #[expect(clippy::cast_precision_loss, reason = "as metrics have it")]
    let most = u64::MAX as f64;
    assert_eq!(metrics.get("inference.input_tokens", &[]), Some(most));
    for name in ["inference.prefill_seconds", "inference.decode_seconds"] {
        assert!(metrics.get(name, &[]).unwrap() < 60.0, "{name}");
    }
}

/// Allocations of a whole reply of so many events. To parse one takes an allocation at least, since the name of its first
/// field is written with an escape.
fn allocations(module: &dyn InferenceModule, events: &'static [&'static str]) -> u64 {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let input = Input::chat("m", [Message::user(events.len().to_string())]);
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            let mut body = module.run_inference(input).await.unwrap().body;
            while body.next().await.is_some() {}
        });
    });
    counted.count_total
}

#[test]
fn it_parses_the_last_events_of_a_reply_and_no_other() {
    const EVENT: &str = "data: {\"\\u0061\":1,\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":7}}\n\n";
    static FEW: [&str; 10] = [EVENT; 10];
    static MANY: [&str; 1010] = [EVENT; 1010];
    let engine = || {
        Scripted::new(|input: Input| async move {
            let asked = input.request()?.messages()[0]
                .content
                .text()
                .unwrap()
                .into_owned();
            let events: &'static [&'static str] = if asked == "10" { &FEW } else { &MANY };
            let last = events.len() - 1;
            let chunks = events.iter().enumerate().map(move |(at, event)| {
                let bytes = bytes::Bytes::from_static(event.as_bytes());
                Ok(if at == last {
                    Chunk::last(bytes)
                } else {
                    Chunk::event(bytes)
                })
            });
            Ok(Output::new(Body::new(stream::iter(chunks))))
        })
    };
    let meter = MeterLayer::new();
    let (bare, metered) = (engine(), engine().with(meter.clone()).attach(meter));
    for module in [&bare as &dyn InferenceModule, &metered] {
        // What is made once.
        allocations(module, &FEW);
    }
    let cost = |events| allocations(&metered, events) - allocations(&bare, events);
    let (few, many) = (cost(&FEW), cost(&MANY));
    assert!(few >= 3, "the last three are parsed: {few}");
    assert_eq!(many, few, "whatever the reply's length");
}
