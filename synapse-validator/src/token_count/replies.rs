//! How many replies a request asks for, and how it says how long each may be.

use serde_json::Value;
use synapse_core::{Error, Input, Task};

use super::{PromptTokens, prompt::prompts};

/// The most replies that a completion may be chosen from.
const MOST: u64 = 128;

/// How many replies are written: for each prompt `n`, or `best_of` where that many are written to choose from; none where
/// the task writes no text.
///
/// # Errors
/// Where the body is malformed, or `best_of` is no number of replies.
pub(crate) fn replies(input: &Input, counted: &PromptTokens) -> Result<u64, Error> {
    let task = input.task();
    let each = u64::from(input.params()?.n.max(1));
    if *task == Task::CHAT {
        return Ok(each);
    }
    if *task != Task::TEXT_COMPLETION {
        return Ok(0);
    }
    let prompts = match counted.prompts() {
        Some(prompts) => prompts,
        // Nobody counted them, so that the request has to be read for it.
        None => prompts(&input.request()?.prompt),
    };
    let each = each.max(best_of(input)?);
    Ok(each.saturating_mul(prompts.max(1) as u64))
}

/// What the caller's own format calls the most tokens of a reply, as errors name it.
pub(crate) fn cap_name(input: &Input) -> &'static str {
    const NEWER: &str = "max_completion_tokens";
    let is_newer = || matches!(input.view(), Ok(Some(view)) if view.field(NEWER).is_some());
    match input.wire() {
        Some(wire) if wire.dialect().name() == "ollama" => "options.num_predict",
        Some(_) if is_newer() => NEWER,
        _ => "max_tokens",
    }
}

/// `best_of`; 0 where it is not there.
fn best_of(input: &Input) -> Result<u64, Error> {
    const NAME: &str = "best_of";
    let of_wire = |value: &[u8]| serde_json::from_slice::<Value>(value).ok();
    let given = match input.wire() {
        Some(wire) => {
            let field = input.view()?.and_then(|view| view.field(NAME));
            field.map(|field| wire.body().get(field).and_then(of_wire))
        }
        None => input.request()?.other.get(NAME).cloned().map(Some),
    };
    match given {
        None | Some(Some(Value::Null)) => Ok(0),
        Some(value) => value
            .and_then(|value| value.as_u64())
            .filter(|replies| (1..=MOST).contains(replies))
            .ok_or_else(|| {
                Error::invalid(
                    "out_of_range",
                    format!("{NAME} is no whole number from 1 to {MOST}"),
                )
                .with_param(NAME)
            }),
    }
}
