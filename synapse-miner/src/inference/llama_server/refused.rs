//! What llama-server refuses as if it had failed itself.

use http::StatusCode;
use synapse_core::Error;
use synapse_http::client::Upstream;

/// How what it says begins where the model has no way to take a part of a message.
const MODEL_CANNOT: [&str; 3] = [
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
];
/// How what it says begins where it could not read the request.
const REQUEST: [&str; 19] = [
    "'messages' is required",
    "\"json_schema\": ",
    "\"prompt\" is required",
    "------------",
    "Cannot specify grammar with tools",
    "Cannot use both json_schema and grammar",
    "Error: 'lora' must be",
    "Error: dry_sequence_breakers must be",
    "Error: no triggers set for lazy grammar",
    "Failed to download image",
    "Failed to load image or audio file",
    "Failed to parse messages",
    "Failed to parse tool call arguments as JSON",
    "Failed to parse tools",
    "Grammar trigger word should be",
    "Invalid base64 value",
    "Only no echo is supported",
    "Unknown reasoning format",
    "Unsupported param",
];
/// How much of what it says a caller is told, in characters.
const TOLD: usize = 200;

/// The caller's fault, where llama-server answered 500 about a request that no slot took: the server is as well as before,
/// and another one would say the same. `None` of every other error.
pub(super) fn of_request(error: &Error) -> Option<Error> {
    let upstream = Upstream::of(error)
        .filter(|upstream| upstream.status() == Some(StatusCode::INTERNAL_SERVER_ERROR))?;
    let said = upstream.said()?.trim_start();
    let begins = |with: &[&str]| with.iter().any(|start| said.starts_with(start));
    if begins(&MODEL_CANNOT) {
        let what = said.split(' ').next().unwrap_or_default();
        let refusal = Error::unsupported("model_cannot", format!("the model takes no {what} input"))
            .with_param("messages")
            .with_hint("send text, or ask a model that takes it");
        return Some(refusal.with_source(error.clone()));
    }
    if !begins(&REQUEST) {
        return None;
    }
    // A template's own words stand last, after where in it they come from.
    let said = said.rsplit("Error: ").next().unwrap_or(said);
    let told: String = said.chars().take(TOLD).collect();
    let refusal = Error::invalid(
        "upstream_refused",
        format!("llama-server refuses the request: {told}"),
    );
    Some(refusal.with_source(error.clone()))
}
