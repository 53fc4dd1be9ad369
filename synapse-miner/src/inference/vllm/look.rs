//! How a vLLM server is.

use std::time::Duration;

use synapse_core::{Capacity, Error, Health};
use synapse_http::OpenAiModule;

use super::discover::Models;
use crate::inference::{
    endpoint::{Found, Number, Seen},
    exposition,
};

/// The longest wait for whether it serves.
const HEALTH: Duration = Duration::from_secs(5);
/// The longest wait for what it counts.
const NUMBERS: Duration = Duration::from_secs(2);

/// Its own names, ours, and whether they only grow. The cache was called a GPU's in releases up to 0.9.
const NAMES: [(&str, &str, bool); 7] = [
    ("vllm:num_requests_running", "engine.slots_busy", false),
    ("vllm:num_requests_waiting", "engine.waiting", false),
    ("vllm:kv_cache_usage_perc", "engine.cache_used", false),
    ("vllm:gpu_cache_usage_perc", "engine.cache_used", false),
    ("vllm:prompt_tokens_total", "engine.prefill_tokens", true),
    ("vllm:generation_tokens_total", "engine.decode_tokens", true),
    ("vllm:num_preemptions_total", "engine.preemptions", true),
];

pub(super) async fn look(http: &OpenAiModule, found: &Found) -> Result<Seen, Error> {
    http.get("/health", HEALTH).await?;
    let identity = Models::ask(http).await?.identity();
    let page = http.get("/metrics", NUMBERS).await.ok();
    let page = page.map(|page| String::from_utf8_lossy(&page).into_owned());
    let mut numbers: Vec<Number> = Vec::new();
    for (theirs, name, grows) in NAMES {
        let value = page.as_deref().and_then(|page| exposition::sum(page, theirs));
        if let Some(value) = value
            && !numbers.iter().any(|number| number.name == name)
        {
            numbers.push(Number { name, value, grows });
        }
    }
    let number = |name| numbers.iter().find(|number| number.name == name);
    let health = match number("engine.slots_busy") {
        Some(busy) => {
            let busy = exposition::count(busy.value);
            let capacity = match found.slots {
                Some(slots) => Capacity::new(slots, busy),
                None => Capacity::of_busy(busy),
            };
            let waiting = number("engine.waiting").map_or(0, |waiting| exposition::count(waiting.value));
            Health::ready().with_capacity(capacity.with_waiting(waiting))
        }
        None => Health::ready(),
    };
    Ok(Seen {
        health,
        identity: Some(identity),
        numbers,
    })
}
