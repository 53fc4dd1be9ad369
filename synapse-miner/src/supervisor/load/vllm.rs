//! vLLM's `/metrics`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{EngineLoad, narrow, prometheus::Samples, whole};

pub(super) fn metrics(text: &str, load: &mut EngineLoad) {
    let samples = Samples::new(text);
    load.busy = samples.sum("vllm:num_requests_running").map(narrow);
    load.waiting = samples.sum("vllm:num_requests_waiting").map(narrow);
    // Its version 0 has the second name.
    load.kv_cache_used = samples
        .most("vllm:kv_cache_usage_perc")
        .or_else(|| samples.most("vllm:gpu_cache_usage_perc"));
    load.prompt_tokens = samples.sum("vllm:prompt_tokens_total").map(whole);
    load.generated_tokens = samples.sum("vllm:generation_tokens_total").map(whole);
    let mut mark = DefaultHasher::new();
    (load.prompt_tokens, load.generated_tokens).hash(&mut mark);
    // Within a prompt that is read in parts, only the cache grows.
    load.kv_cache_used.map(f64::to_bits).hash(&mut mark);
    load.mark = mark.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_metrics_are_read() {
        let page = "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n\
                    vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n\
                    vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"m\",reason=\"capacity\"} 2.0\n\
                    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.25\n\
                    vllm:prompt_tokens_total{engine=\"0\",model_name=\"m\"} 100.0\n\
                    vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 1.5e3\n";
        let mut load = EngineLoad::default();
        metrics(page, &mut load);
        assert_eq!((load.busy, load.waiting), (Some(3), Some(2)));
        assert_eq!(load.kv_cache_used, Some(0.25));
        assert_eq!(
            (load.prompt_tokens, load.generated_tokens),
            (Some(100), Some(1500))
        );
    }
}
