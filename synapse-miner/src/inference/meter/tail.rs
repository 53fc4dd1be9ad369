//! What the last events of a reply say it took.

use bytes::Bytes;
use serde::Deserialize;
use synapse_core::Usage;

/// A longer event says nothing worth its parsing: a reply that is one event may hold hundreds of vectors.
const LONGEST: usize = 256 << 10;

/// What a reply took.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) usage: Option<Usage>,
    pub(super) prefill: Option<Timed>,
    pub(super) decode: Option<Timed>,
}

/// So many tokens in so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timed {
    pub(super) tokens: u64,
    pub(super) seconds: f64,
}

/// Counts as OpenAI has them, times as llama-server and Ollama do.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    timings: Option<Timings>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    prompt_eval_duration: Option<f64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    eval_duration: Option<f64>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// Of llama-server: tokens that were computed, and milliseconds.
#[derive(Deserialize)]
struct Timings {
    #[serde(default)]
    cache_n: u64,
    prompt_n: u64,
    prompt_ms: f64,
    predicted_n: u64,
    predicted_ms: f64,
}

/// What a reply's last events say, the later the better.
pub(super) fn read(events: &[Bytes]) -> Told {
    let mut told = Told::default();
    for event in events.iter().rev().filter_map(|event| parse(event)) {
        let timings = event.timings;
        let counted = event.usage.map(|usage| Usage {
            input_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens.unwrap_or(0),
        });
        let ollama = event.eval_count.map(|made| Usage {
            input_tokens: event.prompt_eval_count.unwrap_or(0),
            output_tokens: made,
        });
        let timed = timings.as_ref().map(|timings| Usage {
            input_tokens: timings.prompt_n.saturating_add(timings.cache_n),
            output_tokens: timings.predicted_n,
        });
        told.usage = told.usage.or(counted).or(ollama).or(timed);
        let (prefill, decode) = match timings {
            Some(timings) => (
                rate(timings.prompt_n, timings.prompt_ms / 1e3),
                // Its clock of the tokens starts with the first of them.
                rate(timings.predicted_n.saturating_sub(1), timings.predicted_ms / 1e3),
            ),
            None => (
                rate_of(event.prompt_eval_count, event.prompt_eval_duration),
                rate_of(event.eval_count, event.eval_duration),
            ),
        };
        told.prefill = told.prefill.or(prefill);
        told.decode = told.decode.or(decode);
    }
    told
}

fn parse(event: &[u8]) -> Option<Event> {
    let start = event.iter().position(|byte| *byte == b'{')?;
    let end = event.iter().rposition(|byte| *byte == b'}')?;
    let json = event.get(start..=end).filter(|json| json.len() <= LONGEST)?;
    serde_json::from_slice(json).ok()
}

/// Nanoseconds, as Ollama has them.
fn rate_of(tokens: Option<u64>, nanos: Option<f64>) -> Option<Timed> {
    rate(tokens?, nanos? / 1e9)
}

fn rate(tokens: u64, seconds: f64) -> Option<Timed> {
    // From a nanosecond to thirty years: what is outside is no measurement.
    (tokens > 0 && (1e-9..1e9).contains(&seconds)).then_some(Timed { tokens, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[&str], usage: (u64, u64), prefill: Option<(u64, f64)>, decode: Option<(u64, f64)>) {
        let events: Vec<Bytes> = events.iter().map(|event| event.to_string().into()).collect();
        let told = read(&events);
        let found = told.usage.map(|usage| (usage.input_tokens, usage.output_tokens));
        assert_eq!(found, Some(usage));
        let timed = |timed: Option<Timed>| timed.map(|timed| (timed.tokens, timed.seconds));
        assert_eq!(timed(told.prefill), prefill);
        assert_eq!(timed(told.decode), decode);
    }

    #[test]
    fn the_end_of_a_reply_says_what_it_took() {
        let finish = "data: {\"choices\":[{\"finish_reason\":\"length\",\"index\":0,\"delta\":{}}]}\n\n";
        let llama = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3,\"prompt_tokens\":34},\
            \"timings\":{\"cache_n\":31,\"prompt_n\":3,\"prompt_ms\":10.0,\"predicted_n\":3,\"predicted_ms\":20.0}}\n\n";
        let done = "data: [DONE]\n\n";
        check(&[finish, llama, done], (34, 3), Some((3, 0.01)), Some((2, 0.02)));
        let without_usage = llama.replace("usage", "other");
        check(&[&without_usage, done], (34, 3), Some((3, 0.01)), Some((2, 0.02)));
        let ollama = "{\"done\":true,\"prompt_eval_count\":26,\"prompt_eval_duration\":2000000000,\"eval_count\":10,\
            \"eval_duration\":1000000000}\n";
        check(&[ollama], (26, 10), Some((26, 2.0)), Some((10, 1.0)));
        let whole = "{\"choices\":[{\"message\":{\"content\":\"}{\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}";
        check(&[whole], (5, 6), None, None);
        assert!(
            read(&["data: [DONE]\n\n".into(), "{".into(), "no".into()])
                .usage
                .is_none()
        );
    }
}
