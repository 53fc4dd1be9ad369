//! vLLM by the shapes that its documentation and sources (0.32) record: the server behind this is a fake.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use synapse_core::{Capacity, ErrorKind, InferenceModule as _, Input, Message, Task, Wire};
use synapse_http::{OpenAi, OpenAiModule};
use synapse_miner::inference::VllmModule;

use tokio::time::{sleep, timeout};

use super::fake::Fake;

const MODELS: &str = r#"{"object":"list","data":[{"id":"Qwen/Qwen3-0.6B","object":"model","created":1763800000,
    "owned_by":"vllm","root":"Qwen/Qwen3-0.6B","parent":null,"max_model_len":40960,"permission":[{"id":"modelperm-1",
    "object":"model_permission","allow_sampling":true,"allow_logprobs":true,"organization":"*","is_blocking":false}]}]}"#;
const METRICS: &str = "# HELP vllm:num_requests_running Number of requests in model execution batches.\n\
    # TYPE vllm:num_requests_running gauge\n\
    vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\"} 3.0\n\
    # TYPE vllm:num_requests_waiting gauge\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\"} 2.0\n\
    vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\",reason=\"capacity\"} 2.0\n\
    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\"} 0.25\n\
    vllm:prompt_tokens_total{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\"} 100.0\n\
    vllm:generation_tokens_total{engine=\"0\",model_name=\"Qwen/Qwen3-0.6B\"} 50.0\n";
const REPLY: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1763800000,"model":"Qwen/Qwen3-0.6B",
    "choices":[{"index":0,"message":{"role":"assistant","content":"Red","refusal":null,"tool_calls":[]},"logprobs":null,
    "finish_reason":"stop","stop_reason":null,"token_ids":[6033,151645]}],"usage":{"prompt_tokens":12,"total_tokens":14,
    "completion_tokens":2,"prompt_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":[151644,872]}"#;
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 40960 tokens. However, you requested
    50000 tokens (49000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
    "type":"BadRequestError","param":null,"code":400}}"#;

async fn vllm() -> Fake {
    Fake::start(&[
        ("/version", 200, r#"{"version":"0.32.0"}"#),
        ("/v1/models", 200, MODELS),
        ("/health", 200, ""),
        ("/metrics", 200, METRICS),
        ("/v1/chat/completions", 200, REPLY),
        (
            "/tokenize",
            200,
            r#"{"count":2,"max_model_len":40960,"tokens":[9707,1879],"token_strs":null}"#,
        ),
        ("/detokenize", 200, r#"{"prompt":"Hello world"}"#),
    ])
    .await
}

fn chat() -> Input {
    Input::chat("Qwen/Qwen3-0.6B", [Message::user("Name a colour.")])
}

#[tokio::test]
async fn it_knows_the_models_and_the_load() {
    let fake = vllm().await;
    let module = VllmModule::new(OpenAiModule::builder(fake.url()).api_key("a-key")).unwrap();
    // Nothing was asked yet; a health check does.
    assert_eq!(module.version(), None);
    let health = module.health_check().await.unwrap();
    assert_eq!(module.version().as_deref(), Some("0.32.0"));
    let expected = Capacity::of_busy(3).with_waiting(2);
    assert_eq!(health.capacity(), Some(expected));
    let can = module.get_capabilities();
    assert_eq!(can.model("Qwen/Qwen3-0.6B").unwrap().context_length, Some(40960));
    assert_eq!((can.concurrency, can.top_logprobs), (None, 20));
    let metrics = module.get_metrics();
    for (name, value) in [
        ("engine.slots_busy", 3.0),
        ("engine.waiting", 2.0),
        ("engine.cache_used", 0.25),
        ("engine.decode_tokens", 50.0),
    ] {
        assert_eq!(metrics.get(name, &[]), Some(value), "{name}");
    }
    let (head, _) = fake.asked("/metrics");
    assert!(head.contains("authorization: Bearer a-key"), "{head}");

    let module = VllmModule::new(OpenAiModule::builder(fake.url()))
        .unwrap()
        .slots(4);
    module.initialize().await.unwrap();
    let health = module.health_check().await.unwrap();
    assert_eq!(health.capacity(), Some(Capacity::new(4, 3).with_waiting(2)));
    assert_eq!(health.capacity().unwrap().free(), Some(1));
    assert_eq!(module.get_capabilities().concurrency, Some(4));
}

#[tokio::test]
async fn its_own_fields_travel_both_ways() {
    let fake = vllm().await;
    let module = VllmModule::connect(fake.url()).await.unwrap();
    let body = json!({
        "model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Name a colour."}],
        "return_token_ids": true, "prompt_logprobs": 1,
    });
    let json = "application/json".parse().unwrap();
    let wire = Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, body.to_string());
    let output = module
        .run_inference(Input::from_wire(Task::CHAT, wire))
        .await
        .unwrap();
    let chunk = { output.body }.next().await.unwrap().unwrap();
    assert_eq!(chunk.wire().unwrap(), REPLY.as_bytes());
    assert_eq!(fake.asked("/v1/chat/completions").1, body.to_string());

    assert_eq!(
        module.tokenize("Qwen/Qwen3-0.6B", "Hello world").await.unwrap(),
        [9707, 1879]
    );
    assert_eq!(
        module.detokenize("Qwen/Qwen3-0.6B", &[9707, 1879]).await.unwrap(),
        "Hello world"
    );
}

#[tokio::test]
async fn its_refusals_have_names() {
    let fake = vllm().await;
    let module = VllmModule::connect(fake.url()).await.unwrap();
    fake.set("/v1/chat/completions", 400, &TOO_LONG.replace('\n', " "));
    let error = module.run_inference(chat()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "context_length_exceeded")
    );
    let other = module
        .run_inference(Input::chat("other", [Message::user("Hi")]))
        .await;
    assert_eq!(other.unwrap_err().code(), "model_not_found");
    let fake = Fake::start(&[("/version", 200, r#"{"release":1}"#)]).await;
    let error = VllmModule::connect(fake.url()).await.unwrap_err();
    assert_eq!(error.code(), "not_vllm");
    assert!(error.hint().unwrap().contains("check that the address"));
}

#[tokio::test]
async fn counts_go_on_where_the_engine_starts_again() {
    let fake = vllm().await;
    let module = VllmModule::connect(fake.url()).await.unwrap();
    for (counted, whole) in [(50, 50.0), (70, 70.0), (5, 75.0), (6, 76.0)] {
        fake.set(
            "/metrics",
            200,
            &format!("vllm:generation_tokens_total {counted}\n"),
        );
        // What it said before holds for a second.
        let told = async {
            loop {
                module.health_check().await.unwrap();
                if module.get_metrics().get("engine.decode_tokens", &[]) == Some(whole) {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), told).await.unwrap();
    }
}
