//! Parameters that would change the answer and can't be honoured are refused by name, never quietly left out.
//!
//! What is in no list here passes: it is metadata (`user`, `metadata`, `store`), or unknown and nobody's promise.

use serde_json::Value as Json;
use synapse_core::{Request, Task};

use crate::error::LlamaError;

/// A parameter, whether a value of it changes nothing, and what to say where it does.
type Refusal = (&'static str, fn(&Json) -> bool, &'static str);

const GENERATION: &[Refusal] = &[
    ("best_of", is_one, "one reply is written; leave it out"),
    ("suffix", is_empty, "text is only continued, not filled in"),
    (
        "echo",
        is_off,
        "the prompt is not sent back; put it before the reply yourself",
    ),
    (
        "response_format",
        is_text,
        "replies can't be held to a format; ask for it in the prompt and check the reply",
    ),
    (
        "tool_choice",
        is_free_choice,
        "the model chooses itself; send auto or none",
    ),
    ("functions", is_empty, "send tools instead"),
    ("function_call", is_free_choice, "send tools instead"),
    ("modalities", is_text_only, "this model writes text"),
    ("audio", is_empty, "this model writes text"),
    ("web_search_options", is_empty, "this model searches nothing"),
    ("reasoning_effort", is_empty, "this model has no such setting"),
    ("chat_template", is_empty, "the model's own template is used"),
    (
        "chat_template_kwargs",
        is_empty,
        "the model's own template is used as it is",
    ),
    (
        "continue_final_message",
        is_off,
        "a new message is written; use text_completion to continue one",
    ),
    ("grammar", is_empty, "replies can't be held to a grammar"),
    ("json_schema", is_empty, "replies can't be held to a schema"),
    ("guided_json", is_empty, "replies can't be held to a schema"),
    ("guided_regex", is_empty, "replies can't be held to a pattern"),
    ("guided_choice", is_empty, "replies can't be held to a choice"),
    ("guided_grammar", is_empty, "replies can't be held to a grammar"),
    (
        "structured_outputs",
        is_empty,
        "replies can't be held to a format",
    ),
    (
        "repetition_penalty",
        is_one,
        "use presence_penalty or frequency_penalty",
    ),
    (
        "repeat_penalty",
        is_one,
        "use presence_penalty or frequency_penalty",
    ),
    ("typical_p", is_one, "use top_p or min_p"),
    ("mirostat", is_off, "use temperature and top_p"),
    ("stop_token_ids", is_empty, "use stop, with texts"),
    ("min_tokens", is_off, "the model decides when it is done"),
    ("ignore_eos", is_off, "the model decides when it is done"),
    ("use_beam_search", is_off, "replies are sampled"),
];

const EMBEDDINGS: &[Refusal] = &[("dimensions", is_empty, "vectors have the model's own width")];

/// Refuses what would have to be ignored.
pub(super) fn check(task: &Task, request: &Request) -> Result<(), LlamaError> {
    if request.params.n != 1 {
        return Err(refused(
            "n",
            "one reply is written a request; send the request several times",
        ));
    }
    let refusals = if *task == Task::EMBEDDINGS {
        EMBEDDINGS
    } else {
        GENERATION
    };
    for &(name, changes_nothing, reason) in refusals {
        match request.other.get(name) {
            Some(value) if !value.is_null() && !changes_nothing(value) => return Err(refused(name, reason)),
            _ => {}
        }
    }
    Ok(())
}

fn refused(name: &str, reason: &'static str) -> LlamaError {
    LlamaError::UnsupportedParameter {
        name: name.to_owned(),
        reason,
    }
}

fn is_one(value: &Json) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_off(value: &Json) -> bool {
    value.as_bool() == Some(false) || value.as_f64() == Some(0.0)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn is_text(value: &Json) -> bool {
    value.get("type").and_then(Json::as_str) == Some("text")
}

fn is_text_only(value: &Json) -> bool {
    value
        .as_array()
        .is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"))
}

fn is_free_choice(value: &Json) -> bool {
    matches!(value.as_str(), Some("auto" | "none"))
}
