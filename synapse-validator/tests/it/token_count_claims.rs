//! What miners say of their usage is compared, and changes nothing.

use futures_util::StreamExt;
use synapse_core::{
    Body, Delta, FinishReason, InferenceModule, Input, MetricsData, ModuleExt, NodeId, Output, Prompt,
    Request, Task, Usage, testkit::Scripted,
};
use synapse_validator::{
    rate_limit::{Quota, RateLimitLayer},
    token_count::{CountedUsage, Metered, PromptTokens, TokenCountLayer, Tokenizers, UsageReport},
};
use tower::ServiceBuilder;

use crate::format::Bytes;

/// A miner of this name that answers so many tokens, and says what it wants of them.
fn miner(name: &str, tokens: usize, claims: impl Fn(u64) -> Option<u64> + Send + Sync + 'static) -> Scripted {
    let name = NodeId::from(name);
    let claims = std::sync::Arc::new(claims);
    Scripted::new(move |_| {
        let (name, claims) = (name.clone(), claims.clone());
        async move {
            let mut end = Delta::finish(FinishReason::Stop);
            if let (Some(input_tokens), Some(output_tokens)) = (claims(100), claims(tokens as u64)) {
                end = end.with_usage(Usage {
                    input_tokens,
                    output_tokens,
                });
            }
            let mut output = Output::new(Body::from_deltas([Delta::text("a".repeat(tokens)), end]));
            output.head = output.head.with_served_by(name);
            Ok(output)
        }
    })
}

/// Asks it so often by this layer, and returns what was counted last.
async fn ask(layer: &TokenCountLayer, miner: Scripted, times: usize) -> CountedUsage {
    let stack = miner.with(layer.clone());
    let mut counted = None;
    for _ in 0..times {
        let prompt = Prompt::Texts(vec!["p".repeat(100)]);
        let input = Input::from_request(Task::TEXT_COMPLETION, Request::new("m", prompt));
        let output = stack.run_inference(input).await.unwrap();
        let report = output.head.extensions().get::<UsageReport>().unwrap().clone();
        output.body.for_each(|_| async {}).await;
        counted = report.get();
    }
    counted.unwrap()
}

fn layer() -> TokenCountLayer {
    TokenCountLayer::new(Tokenizers::new().with("m", std::sync::Arc::new(Bytes)))
}

fn metrics(layer: &TokenCountLayer) -> MetricsData {
    let mut metrics = MetricsData::default();
    synapse_core::Attached::metrics(layer, &mut metrics);
    metrics
}

#[tokio::test]
async fn a_fifth_too_much_changes_no_count_and_is_named() {
    let layer = layer();
    let lies = |tokens: u64| Some(tokens + tokens / 5);
    let honest = ask(&layer, miner("honest", 400, Some), 10).await;
    let lying = ask(&layer, miner("lying", 400, lies), 10).await;
    let silent = ask(&layer, miner("silent", 400, |_| None), 10).await;
    for counted in [lying, silent] {
        assert_eq!((counted.input, counted.output), (honest.input, honest.output));
    }
    assert_eq!((honest.input.tokens(), honest.output.tokens()), (100, 400));
    assert_eq!((silent.claimed, silent.is_mismatch()), (None, false));
    let metrics = metrics(&layer);
    let of = |metric: &str, miner: &str| metrics.get(metric, &[("miner", miner)]);
    assert_eq!(of("usage.mismatch", "lying"), Some(10.0));
    assert_eq!(of("usage.overclaimed_tokens", "lying"), Some(10.0 * 100.0));
    assert_eq!(of("usage.compared_tokens", "lying"), Some(10.0 * 500.0));
    assert_eq!(of("usage.mismatch", "honest"), Some(0.0));
    assert_eq!(of("usage.overclaimed_tokens", "honest"), Some(0.0));
    assert_eq!(of("usage.mismatch", "silent"), None);
    // Ten of each were served, and counted by what was served.
    assert_eq!(
        metrics.get("tokens.output", &[("model", "m")]),
        Some(30.0 * 400.0)
    );
    assert_eq!(metrics.get("usage.mismatch", &[("model", "m")]), Some(10.0));
}

#[tokio::test]
async fn a_little_too_much_of_each_is_named_by_its_share() {
    let layer = layer();
    ask(&layer, miner("lying", 40, |tokens| Some(tokens + 8)), 50).await;
    let metrics = metrics(&layer);
    let of = |metric: &str| metrics.get(metric, &[("miner", "lying")]).unwrap();
    assert_eq!(of("usage.mismatch"), 0.0);
    let share = of("usage.overclaimed_tokens") / of("usage.compared_tokens");
    assert!((0.11..0.12).contains(&share), "{share}");
}

#[tokio::test]
async fn a_miner_that_writes_on_beyond_max_tokens_is_named() {
    let layer = layer();
    let ask = async |name: &str, tokens: usize, most: Option<u32>, n: u32| {
        let stack = miner(name, tokens, |_| None).with(layer.clone());
        let prompt = Prompt::Texts(vec!["p".repeat(100)]);
        let request = Request::new("m", prompt).with_params(|params| {
            (params.max_tokens, params.n) = (most, n);
        });
        let input = Input::from_request(Task::TEXT_COMPLETION, request);
        let output = stack.run_inference(input).await.unwrap();
        output.body.for_each(|_| async {}).await;
    };
    ask("honest", 100, Some(100), 1).await;
    // What counting a text again may make of it.
    ask("honest", 121, Some(100), 1).await;
    ask("honest", 200, Some(100), 2).await;
    ask("honest", 4_000, None, 1).await;
    ask("deaf", 122, Some(100), 1).await;
    ask("deaf", 300, Some(100), 2).await;
    let metrics = metrics(&layer);
    let of = |miner: &str| metrics.get("usage.beyond_max_tokens", &[("miner", miner)]);
    assert_eq!((of("honest"), of("deaf")), (None, Some(2.0)));
}

#[tokio::test]
async fn a_cap_that_a_layer_inside_set_counts_as_the_callers_own() {
    let layer = layer();
    let limit = RateLimitLayer::per_caller(Quota::tokens_per_day(100_000)).default_max_tokens(50);
    let stack = miner("deaf", 400, |_| None).with(ServiceBuilder::new().layer(layer.clone()).layer(limit));
    let prompt = Prompt::Texts(vec!["p".repeat(100)]);
    let input = Input::from_request(Task::TEXT_COMPLETION, Request::new("m", prompt));
    let output = stack.run_inference(input).await.unwrap();
    let report = output.head.extensions().get::<UsageReport>().unwrap().clone();
    output.body.for_each(|_| async {}).await;
    let counted = report.get().unwrap();
    assert_eq!((counted.most, counted.is_too_long()), (Some(50), true));
    let metrics = metrics(&layer);
    let of = metrics.get("usage.beyond_max_tokens", &[("miner", "deaf")]);
    assert_eq!(of, Some(1.0));
}

#[tokio::test]
async fn an_estimate_accuses_nobody() {
    let layer = TokenCountLayer::new(Tokenizers::new());
    ask(&layer, miner("honest", 4_000, Some), 1).await;
    let metrics = metrics(&layer);
    assert_eq!(metrics.get("usage.mismatch", &[("miner", "honest")]), None);
    assert_eq!(metrics.get("usage.mismatch", &[("model", "m")]), Some(0.0));
}

#[tokio::test]
async fn so_many_miners_are_told_apart_and_no_more() {
    let layer = layer();
    for number in 0..300 {
        ask(&layer, miner(&format!("miner{number}"), 10, Some), 1).await;
    }
    let metrics = metrics(&layer);
    let named = metrics
        .iter()
        .filter(|(metric, ..)| metric.name() == "usage.compared_tokens");
    assert_eq!(named.count(), 257);
    let others = metrics.get("usage.compared_tokens", &[("miner", "other")]);
    assert_eq!(others, Some(44.0 * 110.0));
}

#[tokio::test]
async fn all_layers_share_one_count_of_a_reply() {
    let inner = Scripted::new(|input| {
        let prompt = input.extensions().get::<PromptTokens>().unwrap().clone();
        async move {
            let mut output = Output::new(Body::from_deltas([Delta::text("four"), Delta::text("five5")]));
            let metered = Metered::of(&mut output, &prompt);
            let again = Metered::of(&mut output, &prompt);
            assert_eq!((metered.count().tokens(), again.count().tokens()), (0, 0));
            Ok(output)
        }
    });
    let counted = ask(&layer(), inner, 1).await;
    assert_eq!(counted.output.tokens(), 9);
}
