//! How a llama-server is.

use std::time::Duration;

use synapse_core::{Capacity, Error, Health, InferenceModule as _};
use synapse_http::OpenAiModule;

use super::{
    discover::{Props, read},
    extras::Slots,
};
use crate::inference::{
    endpoint::{Found, Number, Seen},
    exposition,
};

/// The longest wait for whether it serves.
const HEALTH: Duration = Duration::from_secs(5);
/// The longest wait for what it counts: it answers that between two batches, and a long prompt is one.
const NUMBERS: Duration = Duration::from_millis(500);

/// Its own names, ours, and whether they only grow.
const NAMES: [(&str, &str, bool); 8] = [
    ("llamacpp:prompt_tokens_total", "engine.prefill_tokens", true),
    (
        "llamacpp:prompt_tokens_cached_total",
        "engine.cached_tokens",
        true,
    ),
    ("llamacpp:prompt_seconds_total", "engine.prefill_seconds", true),
    ("llamacpp:tokens_predicted_total", "engine.decode_tokens", true),
    (
        "llamacpp:tokens_predicted_seconds_total",
        "engine.decode_seconds",
        true,
    ),
    ("llamacpp:requests_processing", "engine.slots_busy", false),
    ("llamacpp:requests_deferred", "engine.waiting", false),
    ("llamacpp:n_tokens_max", "engine.longest_sequence_tokens", true),
];

pub(super) async fn look(http: &OpenAiModule, found: &Found) -> Result<Seen, Error> {
    http.get("/health", HEALTH).await?;
    let props = Props::ask(http).await?;
    let page = match found.tells_metrics {
        // It is refused where the server was started without, and late where it is busy: neither is a fault.
        true => http.get("/metrics", NUMBERS).await.ok(),
        false => None,
    };
    let page = page.map(|page| String::from_utf8_lossy(&page).into_owned());
    let mut numbers: Vec<Number> = page.as_deref().map_or_else(Vec::new, |page| {
        NAMES.iter().filter_map(|name| number(page, *name)).collect()
    });
    let value = |name| {
        numbers
            .iter()
            .find(|number| number.name == name)
            .map(|number| exposition::count(number.value))
    };
    let busy = match value("engine.slots_busy") {
        Some(busy) => Some(busy),
        None if found.tells_slots => busy_slots(http).await,
        None => None,
    };
    let waiting = value("engine.waiting").unwrap_or(0);
    if let Some(busy) = busy.filter(|_| page.is_none()) {
        numbers.push(Number {
            name: "engine.slots_busy",
            value: f64::from(busy),
            grows: false,
        });
    }
    let health = match (found.slots, busy) {
        (Some(slots), Some(busy)) => {
            Health::ready().with_capacity(Capacity::new(slots, busy).with_waiting(waiting))
        }
        (Some(slots), None) => {
            let ours = under_way(http);
            let waiting = ours.saturating_sub(slots);
            Health::ready().with_capacity(Capacity::new(slots, ours.min(slots)).with_waiting(waiting))
        }
        (None, _) => Health::ready(),
    };
    Ok(Seen {
        health,
        identity: Some(props.identity()),
        numbers,
    })
}

/// Requests of ours: the least that it works on, where it is too busy to say or was told not to.
fn under_way(http: &OpenAiModule) -> u32 {
    let requests = http.get_metrics().get("client.in_flight", &[]);
    exposition::count(requests.unwrap_or_default())
}

async fn busy_slots(http: &OpenAiModule) -> Option<u32> {
    let slots: Slots = read(&http.get("/slots", NUMBERS).await.ok()?).ok()?;
    u32::try_from(slots.iter().filter(|slot| slot.busy).count()).ok()
}

fn number(page: &str, (theirs, ours, grows): (&str, &'static str, bool)) -> Option<Number> {
    let value = exposition::sum(page, theirs)?;
    Some(Number {
        name: ours,
        value,
        grows,
    })
}
