//! The levels of a body that Ollama defines, and the keys known at each.

use super::Shape;
use crate::dialect::body::Level;

const CHAT: &[&str] = &[
    "model",
    "messages",
    "stream",
    "format",
    "keep_alive",
    "tools",
    "options",
    "think",
    "truncate",
    "shift",
    "_debug_render_only",
    "logprobs",
    "top_logprobs",
];
const GENERATE: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "system",
    "template",
    "context",
    "stream",
    "raw",
    "format",
    "keep_alive",
    "images",
    "options",
    "think",
    "truncate",
    "shift",
    "_debug_render_only",
    "logprobs",
    "top_logprobs",
    "width",
    "height",
    "steps",
];
const EMBED: &[&str] = &[
    "model",
    "input",
    "keep_alive",
    "truncate",
    "dimensions",
    "options",
];
const EMBEDDING: &[&str] = &["model", "prompt", "keep_alive", "options"];
const OPTIONS: &[&str] = &[
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "temperature",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
];
const MESSAGE: &[&str] = &[
    "role",
    "content",
    "thinking",
    "images",
    "tool_calls",
    "tool_name",
    "tool_call_id",
];
const CALL: &[&str] = &["id", "function"];
const FUNCTION: &[&str] = &["index", "name", "arguments"];

pub(super) fn body(shape: Shape) -> Level {
    Level::body(match shape {
        Shape::Chat => CHAT,
        Shape::Generate => GENERATE,
        Shape::Embed => EMBED,
        Shape::Embedding => EMBEDDING,
    })
}

pub(super) fn options() -> Level {
    Level::within("options", OPTIONS)
}

pub(super) fn message(index: usize) -> Level {
    Level::message(index, MESSAGE)
}

pub(super) fn call(message: usize, index: usize) -> Level {
    Level::in_message(message, "tool_calls", index, CALL)
}

pub(super) fn function(message: usize, call: usize) -> Level {
    Level::in_call(message, call, FUNCTION)
}
