//! Requests that can't be served say so, with both numbers where there are two.

use synapse_core::{Error, ErrorKind};
use synapse_llama::engine::{Engine, EngineConfig, GenerateRequest};

use crate::support::{endless, engine, weights};

fn check(edit: impl FnOnce(&mut GenerateRequest), kind: ErrorKind, code: &str, text: &str) {
    let engine = engine(|config| config.context_length = Some(64));
    let mut request = endless(4);
    edit(&mut request);
    let error: Error = engine.generate(request).expect_err("it is refused").into();
    assert_eq!((error.kind(), error.code()), (kind, code), "{error}");
    assert!(error.to_string().contains(text), "{error} lacks {text:?}");
}

#[test]
fn requests_that_do_not_fit_are_refused_with_a_reason() {
    use ErrorKind::Invalid;
    let long = "context_length_exceeded";
    check(
        |request| request.prompt = vec![5; 64],
        Invalid,
        long,
        "has 64 tokens or more and the context holds 64",
    );
    check(
        |request| request.prompt = vec![5; 9000],
        Invalid,
        long,
        "has 9000 tokens or more and the context holds 64",
    );
    let invalid = "invalid_parameter";
    check(
        |request| request.prompt.clear(),
        Invalid,
        invalid,
        "prompt has no tokens",
    );
    check(
        |request| request.prompt.push(49_152),
        Invalid,
        invalid,
        "the vocabulary ends at 49152",
    );
    check(
        |request| request.prompt.push(u32::MAX),
        Invalid,
        invalid,
        "4294967295",
    );
    check(
        |request| request.max_tokens = Some(0),
        Invalid,
        invalid,
        "max_tokens is 0",
    );
    check(
        |request| request.sampling.temperature = f32::NAN,
        Invalid,
        invalid,
        "temperature is NaN",
    );
    check(
        |request| request.sampling.temperature = -1.0,
        Invalid,
        invalid,
        "temperature is -1",
    );
    check(
        |request| request.sampling.temperature = f32::INFINITY,
        Invalid,
        invalid,
        "temperature is inf",
    );
    check(
        |request| request.sampling.top_p = 0.0,
        Invalid,
        invalid,
        "top_p is 0",
    );
    check(
        |request| request.sampling.top_p = 1.5,
        Invalid,
        invalid,
        "top_p is 1.5",
    );
    check(
        |request| request.sampling.min_p = 2.0,
        Invalid,
        invalid,
        "min_p is 2",
    );
    check(
        |request| request.sampling.presence_penalty = 3.0,
        Invalid,
        invalid,
        "presence_penalty is 3",
    );
    check(
        |request| request.sampling.logit_bias = vec![(60_000, 1.0)],
        Invalid,
        invalid,
        "names token 60000",
    );
    check(
        |request| request.top_logprobs = Some(21),
        Invalid,
        invalid,
        "must be 0 to 20",
    );
    check(
        |request| request.stop = vec![String::new()],
        Invalid,
        invalid,
        "stop has a text that is empty",
    );
    check(
        |request| request.stop = vec!["x".to_owned(); 17],
        Invalid,
        invalid,
        "stop has 17 texts",
    );
}

#[test]
fn engines_that_do_not_fit_the_model_are_refused_with_a_reason() {
    let check = |edit: fn(&mut EngineConfig), text: &str| {
        let mut config = EngineConfig::default();
        edit(&mut config);
        let error = Engine::start(weights(), &config)
            .expect_err("it is refused")
            .to_string();
        assert!(error.contains(text), "{error} lacks {text:?}");
    };
    check(|config| config.parallel = 0, "parallel is 0");
    check(|config| config.parallel = 1000, "parallel is 1000");
    check(|config| config.context_length = Some(1), "context_length is 1;");
    check(
        |config| config.context_length = Some(10_000),
        "takes 2 to 8192 tokens",
    );
    check(|config| config.batch = 2, "batch is 2");
    check(|config| config.threads = Some(0), "threads must be 1 to 512");
}
