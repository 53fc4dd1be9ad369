//! llama.cpp's own server behind its module.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use parts::llama_server::{self, LlamaServer, MODEL, Start};
use serde_json::{Value, json};
use synapse_core::{
    ErrorKind, HealthStatus, InferenceModule as _, Input, Message, ModuleExt as _, Output, Prompt, Request,
    Task, Usage, Wire, testkit::Conformance,
};
use synapse_http::{OpenAi, OpenAiModule};
use synapse_miner::inference::{LlamaServerModule, MeterLayer};
use tokio::time::{sleep, timeout};

/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

fn chat(fields: Value) -> Input {
    let mut body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Name a colour."}],
        "max_tokens": 6,
    });
    let Value::Object(fields) = fields else {
        panic!("fields are an object")
    };
    body.as_object_mut().expect("an object").extend(fields);
    let json = "application/json".parse().expect("a content type");
    let wire = Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body.to_string());
    Input::from_wire(Task::CHAT, wire)
}

async fn connect(server: &LlamaServer) -> LlamaServerModule {
    LlamaServerModule::connect(&server.url())
        .await
        .expect("a llama-server")
}

/// The text, and the count at its end.
async fn read(output: Output) -> (String, Option<Usage>) {
    let (mut text, mut usage) = (String::new(), None);
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.expect("a whole reply");
        for delta in chunk.deltas().expect("deltas") {
            text.push_str(&delta.text);
        }
        usage = chunk.usage().or(usage);
    }
    (text, usage)
}

#[tokio::test]
async fn it_knows_the_model_the_slots_and_the_tokens() {
    let server = llama_server::start();
    let module = connect(&server).await;
    let can = module.get_capabilities();
    let model = can.model(MODEL).expect("the model by its alias");
    // Of one slot, not of both.
    assert_eq!(model.context_length, Some(512));
    let digest = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    assert_eq!(model.digest.as_deref(), Some(digest));
    assert_eq!(can.concurrency, Some(2));
    assert_eq!((can.top_logprobs, can.token_ids), (20, true));
    assert_eq!(can.tasks, [Task::CHAT, Task::TEXT_COMPLETION]);

    // What a message says is text, also where it looks like a special token.
    let plain = module.tokenize("<|im_start|>hi").await.expect("tokens");
    let special = module.tokenize_prompt("<|im_start|>hi").await.expect("tokens");
    assert!(plain.len() > 2, "{plain:?}");
    assert_eq!(special, [1, 6004]);
    let text = module.detokenize(&special).await.expect("a text");
    assert_eq!(text, "<|im_start|>hi");
    let unknown = module.detokenize(&[1 << 30]).await.expect_err("no such token");
    assert_eq!(unknown.code(), "unknown_token");
    let prompt = module.apply_template(&[Message::user("hi")], None).await;
    let prompt = prompt.expect("a prompt").text;
    assert!(
        prompt.ends_with("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
        "{prompt}"
    );

    let output = module
        .run_inference(chat(json!({"logprobs": true, "top_logprobs": 3})))
        .await;
    let mut body = output.expect("a reply").body;
    let whole = body.next().await.expect("a chunk").expect("a chunk");
    let deltas = whole.deltas().expect("deltas");
    let token = &deltas[0].tokens[0];
    assert!(token.id.is_some());
    let logprobs = token.logprobs.as_ref().expect("log-probabilities");
    assert_eq!(logprobs.top.len(), 3);

    // A page that is late on a busy machine is asked for again.
    timeout(PATIENCE, async {
        loop {
            let health = module.health_check().await.expect("a health");
            let capacity = health.capacity().map(|capacity| (capacity.slots, capacity.busy));
            let made = module.get_metrics().get("engine.decode_tokens", &[]);
            if capacity == Some((Some(2), 0)) && made.is_some_and(|made| made > 0.0) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the slots and what they did are known");
    assert_eq!(module.get_metrics().get("engine.slots", &[]), Some(2.0));
}

#[tokio::test]
async fn it_passes_the_conformance_suite() {
    let server = llama_server::start();
    let module = connect(&server).await;
    // Replies are sampled: a text that goes on, so that none ends before its first word.
    Conformance::new()
        .prompt("Once upon a time, in a small village by the sea, there was a")
        .timeout(PATIENCE)
        .run(module)
        .await
        .assert();
}

/// The server closes its connection after a streamed reply, and does not say so before.
#[tokio::test]
async fn a_request_that_follows_a_streamed_reply_at_once_is_answered() {
    let server = llama_server::start();
    let module = connect(&server).await;
    for turn in 0..20 {
        let streamed = module
            .run_inference(chat(json!({"stream": true, "max_tokens": 2})))
            .await;
        let streamed = streamed.unwrap_or_else(|error| panic!("{turn}: {error:?}"));
        read(streamed).await;
        let next = module.run_inference(chat(json!({"max_tokens": 1}))).await;
        read(next.unwrap_or_else(|error| panic!("{turn}: {error:?}"))).await;
    }
}

#[tokio::test]
async fn a_caller_who_leaves_frees_the_slot() {
    let server = Start::new().slots(1, 4096).start();
    let module = connect(&server).await;
    // Two minutes of work for a core of its own.
    let long = chat(json!({"stream": true, "max_tokens": 4000, "ignore_eos": true}));
    let output = module.run_inference(long).await.expect("a reply");
    let slots = module.slots().await.expect("slots");
    assert!(slots[0].busy, "{slots:?}");
    drop(output);
    let left = Instant::now();
    while module.slots().await.expect("slots")[0].busy {
        assert!(left.elapsed() < Duration::from_secs(20), "the slot stays taken");
        sleep(Duration::from_millis(5)).await;
    }
    eprintln!("freed {:?} after the caller left", left.elapsed());
    let (text, _) = read(module.run_inference(chat(json!({}))).await.expect("a reply")).await;
    assert!(!text.is_empty());
}

#[tokio::test]
async fn it_counts_what_a_reply_took() {
    let server = llama_server::start();
    let meter = MeterLayer::new();
    let module = connect(&server).await.with(meter.clone()).attach(meter);
    let streamed = chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let (_, usage) = read(module.run_inference(streamed).await.expect("a reply")).await;
    let refused = module.run_inference(chat(json!({"model": "gpt-9"}))).await;
    assert_eq!(refused.expect_err("no such model").code(), "model_not_found");
    let usage = usage.expect("a count");
    let metrics = module.get_metrics();
    let value = |name: &str| {
        metrics
            .get(name, &[])
            .unwrap_or_else(|| panic!("{name} in {metrics:?}"))
    };
    assert_eq!(
        metrics.get("inference.requests", &[("outcome", "complete")]),
        Some(1.0)
    );
    assert_eq!(
        metrics.get("inference.requests", &[("outcome", "refused")]),
        Some(1.0)
    );
    assert_eq!(
        metrics.get("inference.errors", &[("code", "model_not_found")]),
        Some(1.0)
    );
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let tokens = (usage.input_tokens as f64, usage.output_tokens as f64);
    assert_eq!(
        (value("inference.input_tokens"), value("inference.output_tokens")),
        tokens
    );
    // The server's own clock, not ours.
    assert_eq!(value("inference.prefill_tokens"), tokens.0);
    assert_eq!(value("inference.decode_tokens"), tokens.1 - 1.0);
    assert!(value("inference.decode_tokens_per_second") > 0.0);
    assert!(value("inference.first_content_p50_seconds") >= value("inference.prefill_seconds"));
    assert_eq!(value("inference.in_flight"), 0.0);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_a_name() {
    let server = llama_server::start();
    let module = connect(&server).await;
    let long = "word ".repeat(1200);
    let long = chat(json!({"messages": [{"role": "user", "content": long}]}));
    let error = module.run_inference(long).await.expect_err("too long for a slot");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "context_length_exceeded")
    );
    assert!(error.message().contains("512"), "{error}");
    // llama-server says 500 to both.
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let image = chat(json!({"messages": [{"role": "user", "content": [image]}]}));
    let error = module.run_inference(image).await.expect_err("no images");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unsupported, "model_cannot")
    );
    let format = chat(json!({"reasoning_format": "none such"}));
    let error = module.run_inference(format).await.expect_err("no such format");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "upstream_refused")
    );
    // llama-server would answer with the model that it has.
    let other = module.run_inference(chat(json!({"model": "gpt-9"}))).await;
    assert_eq!(other.expect_err("no such model").code(), "model_not_found");
    let embed = Input::from_request(
        Task::EMBEDDINGS,
        Request::new(MODEL, Prompt::Texts(vec!["x".into()])),
    );
    let embed = module
        .run_inference(embed)
        .await
        .expect_err("not with this start");
    assert_eq!(embed.code(), "task_unsupported");
}

/// Loading takes this model most of a second, of which every attempt takes a millisecond.
#[tokio::test]
async fn while_it_loads_it_says_so() {
    let mut server = llama_server::start();
    let module = connect(&server).await;
    server.kill();
    let mut server = Start::new().launch_at(server.address());
    let (mut refusals, mut reasons) = (Vec::new(), Vec::new());
    let answered = timeout(PATIENCE, async {
        loop {
            if let Ok(health) = module.health_check().await
                && health.status() == HealthStatus::Unhealthy
            {
                reasons.extend(health.reason().map(str::to_owned));
            }
            match module.run_inference(chat(json!({}))).await {
                Ok(output) => break output,
                Err(error) => refusals.push(error),
            }
        }
    });
    let output = answered.await.expect("it loads in the end");
    drop(output);
    let loading = refusals.iter().find(|error| error.code() == "model_loading");
    let loading = loading.unwrap_or_else(|| panic!("{refusals:?}"));
    assert_eq!(loading.kind(), ErrorKind::Unavailable);
    assert_eq!(loading.retry_after(), Some(Duration::from_secs(2)));
    // A small model may be loaded before its health is asked again.
    assert!(
        reasons.iter().all(|reason| reason.contains("loads its model")),
        "{reasons:?}"
    );
    server.wait();
    // What it said is believed for a second, and so is that it could not be reached.
    timeout(PATIENCE, async {
        while !module
            .health_check()
            .await
            .is_ok_and(|health| health.status() == HealthStatus::Ready)
        {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it is ready in the end");
}

#[tokio::test]
async fn another_server_at_the_address_is_noticed() {
    let mut server = llama_server::start();
    let address = server.address();
    let settings = || OpenAiModule::builder(format!("http://{address}"));
    let early = LlamaServerModule::new(settings()).expect("a module");
    let error = early
        .run_inference(chat(json!({})))
        .await
        .expect_err("nobody asked yet");
    assert_eq!(error.code(), "not_initialized");
    // A health check finds out what it serves, too; but no digest, since it is not said to be here.
    assert_eq!(
        early.health_check().await.expect("a health").status(),
        HealthStatus::Ready
    );
    assert_eq!(
        early
            .get_capabilities()
            .model(MODEL)
            .and_then(|model| model.digest.clone()),
        None
    );
    assert_eq!(early.get_capabilities().concurrency, Some(2));

    server.kill();
    let mut server = Start::new().slots(3, 256).launch_at(address);
    server.wait();
    timeout(PATIENCE, async {
        while early.get_capabilities().concurrency != Some(3) {
            let _ = early.health_check().await;
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the new server is noticed");
    let model = early.get_capabilities().model(MODEL).cloned().expect("the model");
    assert_eq!(model.context_length, Some(256));
}
