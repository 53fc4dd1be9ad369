//! llama-server's `/slots` and `/metrics`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;

use super::{EngineLoad, narrow, prometheus::Samples, whole};

#[derive(Deserialize)]
struct Slot {
    is_processing: bool,
    #[serde(default)]
    id_task: Option<i64>,
    #[serde(default)]
    n_prompt_tokens: Option<u64>,
    #[serde(default)]
    n_prompt_tokens_processed: Option<u64>,
    #[serde(default)]
    n_prompt_tokens_cache: Option<u64>,
    #[serde(default)]
    n_ctx: Option<u64>,
    #[serde(default)]
    next_token: Vec<Next>,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    n_decoded: Option<u64>,
}

#[expect(clippy::cast_precision_loss, reason = "a number of tokens of a context")]
pub(super) fn slots(body: &[u8], load: &mut EngineLoad) -> Option<()> {
    let slots: Vec<Slot> = serde_json::from_slice(body).ok()?;
    let busy = || slots.iter().filter(|slot| slot.is_processing);
    let mut mark = DefaultHasher::new();
    let (mut used, mut room) = (0, 0);
    for slot in &slots {
        room = u64::saturating_add(room, slot.n_ctx.unwrap_or(0));
    }
    for slot in busy() {
        let decoded = slot.next_token.iter().filter_map(|next| next.n_decoded);
        let decoded = decoded.fold(0, u64::saturating_add);
        let read = slot.n_prompt_tokens_processed.unwrap_or(0);
        (slot.id_task, read, decoded, slot.n_prompt_tokens).hash(&mut mark);
        let cached = slot.n_prompt_tokens_cache.unwrap_or(0);
        used = [read, cached, decoded]
            .into_iter()
            .fold(used, u64::saturating_add);
    }
    load.slots = u32::try_from(slots.len()).ok();
    load.busy = u32::try_from(busy().count()).ok();
    load.kv_cache_used = (room > 0).then(|| (used as f64 / room as f64).min(1.0));
    load.mark ^= mark.finish();
    Some(())
}

pub(super) fn metrics(text: &str, load: &mut EngineLoad) {
    let samples = Samples::new(text);
    load.waiting = samples.sum("llamacpp:requests_deferred").map(narrow);
    load.prompt_tokens = samples.sum("llamacpp:prompt_tokens_total").map(whole);
    load.generated_tokens = samples.sum("llamacpp:tokens_predicted_total").map(whole);
    load.prompt_speed = samples.sum("llamacpp:prompt_tokens_seconds");
    load.generation_speed = samples.sum("llamacpp:predicted_tokens_seconds");
    if load.busy.is_none() {
        load.busy = samples.sum("llamacpp:requests_processing").map(narrow);
    }
    let mut mark = DefaultHasher::new();
    (load.prompt_tokens, load.generated_tokens).hash(&mut mark);
    samples.sum("llamacpp:n_decode_total").map(whole).hash(&mut mark);
    load.mark ^= mark.finish().rotate_left(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(decoded: u64, processed: u64) -> EngineLoad {
        let body = format!(
            r#"[{{"id":0,"n_ctx":512,"is_processing":false}},
                {{"id":1,"n_ctx":512,"is_processing":true,"id_task":2,"n_prompt_tokens":44,
                  "n_prompt_tokens_processed":{processed},"n_prompt_tokens_cache":7,"params":{{"seed":1}},
                  "next_token":[{{"has_next_token":true,"n_remain":53,"n_decoded":{decoded}}}]}}]"#
        );
        let mut load = EngineLoad::default();
        slots(body.as_bytes(), &mut load).expect("it is what the server sends");
        metrics(
            "llamacpp:requests_deferred 3\nllamacpp:prompt_tokens_total 90\n",
            &mut load,
        );
        load
    }

    #[test]
    fn slots_tell_what_is_under_way_and_every_token_is_progress() {
        let load = read(7, 37);
        assert_eq!((load.slots, load.busy, load.waiting), (Some(2), Some(1), Some(3)));
        assert_eq!(load.prompt_tokens, Some(90));
        assert!((load.kv_cache_used.expect("known") - 51.0 / 1024.0).abs() < 1e-9);
        assert_eq!(load.mark, read(7, 37).mark);
        assert_ne!(load.mark, read(8, 37).mark, "a token was made");
        assert_ne!(load.mark, read(7, 44).mark, "a part of the prompt was read");
    }

    #[test]
    fn what_is_no_list_of_slots_is_refused() {
        for body in ["", "{}", "[1]", "[{}]"] {
            assert_eq!(slots(body.as_bytes(), &mut EngineLoad::default()), None, "{body}");
        }
    }
}
