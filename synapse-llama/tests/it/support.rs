//! The model that tests share, and short ways to ask it.

use std::path::PathBuf;
use std::sync::OnceLock;

use synapse_core::{FinishReason, Message, Token, Tokenizer, Usage};
use synapse_llama::engine::{Engine, EngineConfig, GenerateRequest, Generation, GenerationEvent, Sampling};
use synapse_llama::{ChatTemplate, LlamaTokenizer, LlamaWeights};

pub(crate) const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The model file; a test without it fails rather than pass unseen.
pub(crate) fn model_path() -> PathBuf {
    let path = std::env::var_os("SYNAPSE_TEST_MODEL")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
            cache.unwrap_or_else(home).join("synapse/models").join(MODEL)
        });
    assert!(
        path.exists(),
        "no model at {}: run scripts/fetch-model, or set SYNAPSE_TEST_MODEL",
        path.display()
    );
    path
}

/// Loaded once for all tests.
pub(crate) fn weights() -> &'static LlamaWeights {
    static WEIGHTS: OnceLock<LlamaWeights> = OnceLock::new();
    WEIGHTS.get_or_init(|| LlamaWeights::load(model_path()).expect("the test model loads"))
}

pub(crate) fn tokenizer() -> LlamaTokenizer {
    LlamaTokenizer::new(weights().clone())
}

/// An engine of a test's own, small enough that many may live at once.
pub(crate) fn engine(edit: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    config.context_length = Some(512);
    // Tests run side by side, and llama.cpp's threads spin while they wait for each other.
    config.threads = Some(1);
    edit(&mut config);
    Engine::start(weights(), &config).expect("an engine starts")
}

/// A question as the chat template writes it.
pub(crate) fn question(text: &str) -> Vec<u32> {
    let template = ChatTemplate::of(weights()).expect("the model has a template");
    let pieces = template
        .render_pieces(&[Message::user(text)], None)
        .expect("it renders");
    tokenizer().encode_pieces(&pieces).expect("it tokenises")
}

/// A greedy request.
pub(crate) fn ask(text: &str, max_tokens: u32) -> GenerateRequest {
    let mut request = GenerateRequest::new(question(text));
    request.max_tokens = Some(max_tokens);
    request.sampling = Sampling::greedy();
    request
}

/// A text that goes on for long, whatever the model thinks of it.
pub(crate) fn endless(max_tokens: u32) -> GenerateRequest {
    let mut request = GenerateRequest::new(
        tokenizer()
            .encode("1, 2, 3, 4, 5, 6, 7, 8, 9, 10,")
            .expect("it tokenises"),
    );
    request.max_tokens = Some(max_tokens);
    request.sampling = Sampling::greedy();
    request
}

/// A reply read to its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) events: usize,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
}

pub(crate) async fn read(mut generation: Generation) -> Reply {
    let (mut text, mut tokens, mut events) = (String::new(), Vec::new(), 0);
    while let Some(event) = generation.next().await {
        match event.expect("the engine goes on") {
            GenerationEvent::Text {
                text: added,
                tokens: made,
            } => {
                text += &added;
                tokens.extend(made);
                events += 1;
            }
            GenerationEvent::End { reason, usage } => {
                return Reply {
                    text,
                    tokens,
                    events,
                    reason,
                    usage,
                };
            }
            other => panic!("an unknown event: {other:?}"),
        }
    }
    panic!("a reply without an end");
}

pub(crate) async fn answer(engine: &Engine, request: GenerateRequest) -> Reply {
    read(engine.generate(request).expect("the request is taken")).await
}

/// Waits until `met`, at most ten seconds.
pub(crate) async fn until(what: &str, met: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if met() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("waited in vain for: {what}");
}
