//! The module: what the contract asks of it, and how requests become answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synapse_core::testkit::Conformance;
use synapse_core::{
    Body, Content, Delta, Error, ErrorKind, FinishReason, HealthStatus, InferenceModule, Input, Message,
    Part, Prompt, Request, Task, Tokenizer, Usage,
};
use synapse_llama::{LlamaModule, LlamaModuleBuilder};

use crate::support::{endless, model_path, question, tokenizer, until, weights};

fn builder() -> LlamaModuleBuilder {
    LlamaModule::over(weights())
        .model_id("smollm2")
        .context_length(512)
        .threads(1)
}

async fn module() -> LlamaModule {
    builder().load().await.expect("it loads")
}

/// A greedy request with fields of its own.
fn input(task: Task, prompt: Prompt, max_tokens: u32, other: Value) -> Input {
    let mut request = Request::new("smollm2", prompt);
    request.params.max_tokens = Some(max_tokens);
    request.params.temperature = Some(0.0);
    if let Value::Object(fields) = other {
        request.other = fields;
    }
    Input::from_request(task, request)
}

fn chat(text: &str, max_tokens: u32, other: Value) -> Input {
    input(
        Task::CHAT,
        Prompt::Messages(vec![Message::user(text)]),
        max_tokens,
        other,
    )
}

async fn deltas(mut body: Body) -> Vec<Delta> {
    let mut deltas = Vec::new();
    while let Some(chunk) = next(&mut body).await {
        deltas.extend(chunk.expect("no error").deltas().expect("native deltas").to_vec());
    }
    deltas
}

async fn next(body: &mut Body) -> Option<Result<synapse_core::Chunk, Error>> {
    use futures_core::Stream;
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_next(context)).await
}

async fn ask(module: &LlamaModule, input: Input) -> (String, FinishReason, Usage) {
    let deltas = deltas(module.run_inference(input).await.expect("an answer").body).await;
    let text = deltas.iter().map(|delta| delta.text.as_str()).collect();
    let last = deltas.last().expect("a last delta");
    (
        text,
        last.finish_reason.clone().expect("a reason"),
        last.usage.expect("a count"),
    )
}

#[tokio::test]
async fn it_conforms() {
    // Replies are sampled: a text that goes on, so that none ends before its first word.
    let report = Conformance::new()
        .prompt("Once upon a time, in a small village by the sea, there was a")
        .timeout(Duration::from_secs(60))
        .run(builder().build())
        .await;
    println!("{report}");
    report.assert();
}

#[tokio::test]
async fn it_is_loaded_from_a_file_with_progress() {
    let (told, progress) = std::sync::mpsc::channel();
    let started = Instant::now();
    let module = LlamaModule::builder(model_path())
        .context_length(256)
        .on_progress(move |fraction| told.send(fraction).expect("somebody listens"))
        .build();
    assert_eq!(
        module.health_check().await.expect("health").status(),
        HealthStatus::Unhealthy
    );
    let error = module
        .run_inference(chat("Hi", 1, json!({})))
        .await
        .expect_err("nothing is loaded");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "not_initialized")
    );
    let (first, second) = tokio::join!(module.initialize(), module.initialize());
    first.and(second).expect("it loads once");
    println!("loaded with its digest in {:?}", started.elapsed());
    let told: Vec<f32> = progress.try_iter().collect();
    assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
    assert_eq!(
        module.health_check().await.expect("health").status(),
        HealthStatus::Ready
    );
    let capabilities = module.get_capabilities();
    let model = capabilities
        .model("SmolLM2-135M-Instruct.Q4_1")
        .expect("it is named after its file");
    let digest = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    assert_eq!(
        (model.digest.as_deref(), model.context_length),
        (Some(digest), Some(256))
    );
    assert_eq!(
        (capabilities.concurrency, capabilities.top_logprobs),
        (Some(4), 20)
    );
    // 30 layers of 3 heads of 64, keys and values, two bytes each, four sequences of 256.
    let cache = 30 * 3 * 128 * 2 * 4 * 256;
    assert_eq!(capabilities.resources.memory_bytes, weights().bytes() + cache);
    module.shutdown().await.expect("it ends");
    module.shutdown().await.expect("it has ended");
    assert_eq!(
        module.health_check().await.expect("health").status(),
        HealthStatus::Unhealthy
    );
    assert_eq!(
        module
            .run_inference(chat("Hi", 1, json!({})))
            .await
            .expect_err("it has ended")
            .code(),
        "model_not_found"
    );
}

#[tokio::test]
async fn a_module_that_was_shut_down_starts_again() {
    let module = module().await;
    module.shutdown().await.expect("it ends");
    assert_eq!(
        module
            .run_inference(chat("Hi", 1, json!({})))
            .await
            .expect_err("it has ended")
            .code(),
        "engine_stopped"
    );
    module.initialize().await.expect("it starts");
    assert_eq!(
        ask(&module, chat("Say yes.", 2, json!({}))).await.1,
        FinishReason::Length
    );
}

#[tokio::test]
async fn chat_streams_tokens_with_ids_and_ends_with_a_count() {
    let module = module().await;
    let output = module
        .run_inference(chat("Name three primary colours.", 40, json!({})))
        .await
        .expect("an answer");
    let deltas = deltas(output.body).await;
    assert!(deltas.len() > 5 && deltas[0].has_content());
    let text: String = deltas.iter().map(|delta| delta.text.as_str()).collect();
    assert!(text.to_lowercase().contains("red"), "{text}");
    let tokens: Vec<u32> = deltas
        .iter()
        .flat_map(|delta| &delta.tokens)
        .filter_map(|token| token.id)
        .collect();
    assert_eq!(tokenizer().decode(&tokens).expect("it decodes"), text);
    let usage = deltas.last().and_then(|delta| delta.usage).expect("a count");
    let prompt = question("Name three primary colours.").len() as u64;
    assert_eq!(
        usage,
        Usage {
            input_tokens: prompt,
            output_tokens: tokens.len() as u64
        }
    );
}

#[tokio::test]
async fn completions_take_a_text_or_tokens() {
    let module = module().await;
    let text = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,";
    let of = |prompt| ask(&module, input(Task::TEXT_COMPLETION, prompt, 6, json!({})));
    let from_text = of(Prompt::Texts(vec![text.to_owned()])).await;
    let from_tokens = of(Prompt::Tokens(vec![endless(1).prompt])).await;
    assert_eq!(from_text, from_tokens);
    assert!(from_text.0.contains("11"), "{}", from_text.0);
}

#[tokio::test]
async fn logprobs_and_biases_reach_the_engine() {
    let module = module().await;
    let mut request = chat(
        "Name a colour.",
        3,
        json!({"logit_bias": {"2": -100}, "user": "u", "unknown": 1}),
    );
    request.request_logprobs(5).expect("chat has them");
    let deltas = deltas(module.run_inference(request).await.expect("an answer").body).await;
    let tokens: Vec<_> = deltas.iter().flat_map(|delta| &delta.tokens).collect();
    assert!(!tokens.is_empty());
    assert!(tokens.iter().all(|token| {
        token
            .logprobs
            .as_ref()
            .is_some_and(|logprobs| logprobs.top.len() == 5)
    }));
}

#[tokio::test]
async fn embeddings_come_in_order_with_a_count() {
    let module = module().await;
    let texts = vec!["one".to_owned(), "two words".to_owned(), "one".to_owned()];
    let embed = async |prompt| {
        let input = input(Task::EMBEDDINGS, prompt, 1, json!({}));
        deltas(module.run_inference(input).await.expect("vectors").body).await
    };
    let deltas = embed(Prompt::Texts(texts)).await;
    let vectors: Vec<_> = deltas
        .iter()
        .filter_map(|delta| delta.embedding.as_ref())
        .collect();
    assert_eq!(
        deltas.iter().map(|delta| delta.index).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!((vectors.len(), vectors[0].len()), (3, 576));
    assert!(vectors[0] == vectors[2] && vectors[0] != vectors[1]);
    assert_eq!(
        deltas[2].usage,
        Some(Usage {
            input_tokens: 4,
            output_tokens: 0
        })
    );
    let tokens = embed(Prompt::Tokens(vec![tokenizer().encode("one").expect("tokens")])).await;
    assert_eq!(tokens[0].embedding.as_ref(), Some(vectors[0]));
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_sequence() {
    let module = module().await;
    let output = module
        .run_inference(chat("Tell me a very long story.", 400, json!({})))
        .await
        .expect("an answer");
    assert_eq!(module.stats().active, 1);
    drop(output);
    until("the sequence is free", || module.stats().active == 0).await;
    assert_eq!(
        module.get_metrics().get("llama.requests.cancelled", &[]),
        Some(1.0)
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let module = module().await;
    let picture = Content::Parts(vec![Part::Other(json!({"type": "image_url"}))]);
    let picture = Prompt::Messages(vec![Message::with_content("user", picture)]);
    let text = |text: &str| Prompt::Texts(vec![text.to_owned()]);
    let mut two = chat("Hi", 1, json!({})).request().expect("native").into_owned();
    two.params.n = 2;
    let mut elsewhere = chat("Hi", 1, json!({})).request().expect("native").into_owned();
    elsewhere.model = "gpt-4".to_owned();
    let mut hot = chat("Hi", 1, json!({})).request().expect("native").into_owned();
    hot.params.temperature = Some(f32::NAN);
    let weather = json!([{"type": "function", "function": {"name": "weather"}}]);
    let many = Prompt::Texts(vec!["a".to_owned(), "b".to_owned()]);
    let long = "word ".repeat(600);
    use ErrorKind::{Invalid, NotFound, Unsupported};
    let unsupported = |param| (Unsupported, "unsupported_parameter", param);
    let table = [
        (Input::from_request(Task::CHAT, two), unsupported("n")),
        (
            Input::from_request(Task::CHAT, elsewhere),
            (NotFound, "model_not_found", "model"),
        ),
        (
            Input::from_request(Task::CHAT, hot),
            (Invalid, "invalid_parameter", "temperature"),
        ),
        (
            chat("Hi", 1, json!({"response_format": {"type": "json_object"}})),
            unsupported("response_format"),
        ),
        (chat("Hi", 1, json!({"tools": weather})), unsupported("tools")),
        (
            chat("Hi", 1, json!({"tool_choice": "required"})),
            unsupported("tool_choice"),
        ),
        (
            chat("Hi", 1, json!({"logit_bias": {"x": 1}})),
            (Invalid, "invalid_parameter", "logit_bias"),
        ),
        (
            input(Task::TEXT_COMPLETION, text("Hi"), 1, json!({"suffix": "!"})),
            unsupported("suffix"),
        ),
        (
            input(Task::TEXT_COMPLETION, text("Hi"), 1, json!({"best_of": 3})),
            unsupported("best_of"),
        ),
        (
            input(Task::TEXT_COMPLETION, many, 1, json!({})),
            unsupported("prompt"),
        ),
        (
            input(Task::TEXT_COMPLETION, text(""), 1, json!({})),
            (Invalid, "invalid_parameter", "prompt"),
        ),
        (
            input(Task::CHAT, Prompt::Messages(vec![]), 1, json!({})),
            (Invalid, "invalid_parameter", "messages"),
        ),
        (
            input(Task::CHAT, picture, 1, json!({})),
            (Unsupported, "unsupported", ""),
        ),
        (
            input(Task::EMBEDDINGS, text("Hi"), 1, json!({"dimensions": 64})),
            unsupported("dimensions"),
        ),
        (
            input(Task::EMBEDDINGS, text(&long), 1, json!({})),
            (Invalid, "context_length_exceeded", ""),
        ),
        (
            chat(&long, 1, json!({})),
            (Invalid, "context_length_exceeded", ""),
        ),
        (
            chat(&"word ".repeat(2_000_000), 1, json!({})),
            (Invalid, "context_length_exceeded", ""),
        ),
        (
            chat("Hi", 1, json!({"logit_bias": {"2": 100}})),
            (Invalid, "invalid_parameter", "logit_bias"),
        ),
        (
            chat("Hi", 1, json!({"tools": "x"})),
            (Invalid, "invalid_parameter", "tools"),
        ),
        (
            input(Task::RERANK, text("Hi"), 1, json!({})),
            (Unsupported, "task_unsupported", ""),
        ),
    ];
    for (input, (kind, code, param)) in table {
        let shown = format!("{:?}", input.request().map(|request| request.other.clone()));
        let error = module.run_inference(input).await.expect_err(&shown);
        assert_eq!(
            (error.kind(), error.code(), error.param().unwrap_or("")),
            (kind, code, param),
            "{shown} {error}"
        );
    }
    assert_eq!(module.stats().started, 0, "nothing was begun");
}

#[tokio::test]
async fn harmless_fields_pass() {
    let module = module().await;
    let fields = json!({
        "response_format": {"type": "text"}, "tools": [], "tool_choice": "auto", "best_of": 1, "echo": false, "user": "u",
        "metadata": {"a": 1}, "logit_bias": null, "store": true, "a_field_of_tomorrow": {"x": [1]}, "reasoning_effort": null,
    });
    assert_eq!(
        ask(&module, chat("Say yes.", 2, fields)).await.1,
        FinishReason::Length
    );
}
