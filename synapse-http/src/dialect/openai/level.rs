//! The levels of a body that OpenAI defines, and the keys known at each.

use super::Shape;
use crate::dialect::body::Level;

const CHAT: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "logit_bias",
    "user",
    "metadata",
    "store",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "web_search_options",
];
const COMPLETION: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "n",
    "best_of",
    "echo",
    "logprobs",
    "stream",
    "stream_options",
    "logit_bias",
    "user",
];
const EMBEDDINGS: &[&str] = &["model", "input", "encoding_format", "dimensions", "user"];
const STREAM_OPTIONS: &[&str] = &["include_usage", "include_obfuscation"];
const MESSAGE: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
];
const PART: &[&str] = &["type", "text", "image_url", "input_audio", "file", "refusal"];

pub(super) fn body(shape: Shape) -> Level {
    Level::body(match shape {
        Shape::Chat => CHAT,
        Shape::Completion => COMPLETION,
        Shape::Embeddings => EMBEDDINGS,
    })
}

pub(super) fn stream_options() -> Level {
    Level::within("stream_options", STREAM_OPTIONS)
}

pub(super) fn message(index: usize) -> Level {
    Level::message(index, MESSAGE)
}

pub(super) fn part(message: usize, index: usize) -> Level {
    Level::in_message(message, "content", index, PART)
}
