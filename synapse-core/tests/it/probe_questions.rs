//! The questions themselves: what comes, how often, and that nothing that a member claims makes them go wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synapse_core::{
    Input, ModelInfo, ModuleCapabilities, Prompt, Task,
    probe::{Claim, Probe, Questions},
};

fn chat(models: &[&str]) -> ModuleCapabilities {
    let claims = ModuleCapabilities::new("m")
        .with_task(Task::CHAT)
        .with_streaming();
    models.iter().fold(claims, |claims, model| {
        claims.with_model(ModelInfo::new(*model).with_context_length(8192))
    })
}

fn texts(input: &Input) -> Vec<String> {
    let request = input.request().unwrap();
    match &request.prompt {
        Prompt::Messages(messages) => messages
            .iter()
            .map(|message| message.content.text().unwrap().into_owned())
            .collect(),
        Prompt::Texts(texts) => texts.clone(),
        _ => panic!("nobody asks in tokens"),
    }
}

fn size(input: &Input) -> usize {
    texts(input).iter().map(String::len).sum::<usize>() + input.model().map_or(0, str::len)
}

fn shown(probe: &Probe) -> String {
    format!(
        "{} {} {:?}",
        probe.name,
        probe.input.model().unwrap(),
        texts(&probe.input)
    )
}

#[test]
fn the_same_seed_and_number_ask_the_same() {
    let claims = chat(&["one", "two"]);
    for number in 0..50 {
        let ask = |seed| shown(&Questions::new(seed).ask(&claims, number).unwrap());
        assert_eq!(ask(1), ask(1));
    }
    let all = |seed| -> Vec<String> {
        let questions = Questions::new(seed);
        (0..50)
            .map(|number| shown(&questions.ask(&claims, number).unwrap()))
            .collect()
    };
    assert_ne!(all(1), all(2));
}

#[test]
fn of_eight_in_a_row_each_special_one_comes_once() {
    let claims = chat(&["one"]);
    let questions = Questions::new(3);
    let mut orders = BTreeSet::new();
    for round in 0..20_u64 {
        let names: Vec<_> = (round * 8..round * 8 + 8)
            .map(|number| questions.ask(&claims, number).unwrap().name)
            .collect();
        let mut count = BTreeMap::new();
        for name in &names {
            *count.entry(*name).or_insert(0) += 1;
        }
        assert_eq!(
            count,
            BTreeMap::from([("chat", 5), ("context", 1), ("errors", 1), ("streaming", 1)])
        );
        orders.insert(names);
    }
    assert!(
        orders.len() > 15,
        "one can foresee what comes: {} orders of 20",
        orders.len()
    );
}

#[test]
fn every_model_has_its_turn() {
    let claims = chat(&["one", "two", "three", "four", "five"]);
    let questions = Questions::new(5);
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..80 {
        let probe = questions.ask(&claims, number).unwrap();
        if probe.name != "errors" {
            *asked.entry(probe.input.model().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert_eq!(asked.len(), 5);
    assert!(asked.values().all(|times| *times >= 8), "{asked:?}");
}

#[test]
fn nobody_can_have_a_list_of_what_is_said() {
    let claims = chat(&["one"]);
    let completes = ModuleCapabilities::new("c")
        .with_task(Task::TEXT_COMPLETION)
        .with_model(ModelInfo::new("m"));
    let (mut known, mut said) = (BTreeSet::new(), 0);
    for seed in 0..100 {
        let questions = Questions::new(seed);
        for number in 0..100 {
            for claims in [&claims, &completes] {
                let probe = questions.ask(claims, number).unwrap();
                let request = probe.input.request().unwrap();
                let texts = match &request.prompt {
                    Prompt::Messages(messages) => messages
                        .iter()
                        // Users share short settings, too.
                        .filter(|message| message.role != "system")
                        .map(|message| message.content.text().unwrap().into_owned())
                        .collect(),
                    Prompt::Texts(texts) => texts.clone(),
                    _ => panic!("nobody asks in tokens"),
                };
                said += texts.len();
                known.extend(texts);
            }
        }
    }
    let again = said - known.len();
    assert!(again <= said / 1000, "{again} of {said} were said before");
}

#[test]
fn questions_do_not_repeat_soon_and_mostly_stream() {
    let claims = chat(&["one"]);
    let questions = Questions::new(8);
    let (mut seen, mut streamed, mut settings, mut turns) = (BTreeSet::new(), 0, 0, 0);
    for number in 0..400 {
        let probe = questions.ask(&claims, number).unwrap();
        streamed += usize::from(probe.input.wants_stream().unwrap());
        let request = probe.input.request().unwrap();
        settings += usize::from(request.messages()[0].role == "system");
        turns += usize::from(
            request
                .messages()
                .iter()
                .filter(|message| message.role == "user")
                .count()
                > 1,
        );
        seen.insert(shown(&probe));
    }
    assert_eq!(seen.len(), 400);
    assert!((280..=360).contains(&streamed), "{streamed} of 400 stream");
    assert!(
        settings > 50 && turns > 30,
        "{settings} settings, {turns} with more turns"
    );
}

#[test]
fn asks_for_what_is_claimed_and_nothing_else() {
    let model = || ModelInfo::new("m").with_context_length(4096);
    let names = |claims: &ModuleCapabilities| -> BTreeSet<_> {
        let questions = Questions::new(4);
        (0..32)
            .filter_map(|number| questions.ask(claims, number))
            .map(|probe| probe.name)
            .collect()
    };
    let embeds = ModuleCapabilities::new("e")
        .with_task(Task::EMBEDDINGS)
        .with_model(model());
    assert_eq!(names(&embeds), BTreeSet::from(["embeddings", "errors"]));
    let completes = ModuleCapabilities::new("c")
        .with_task(Task::TEXT_COMPLETION)
        .with_task(Task::EMBEDDINGS)
        .with_model(model())
        .with_streaming();
    assert_eq!(
        names(&completes),
        BTreeSet::from(["completion", "context", "errors", "streaming"])
    );
    let whole = ModuleCapabilities::new("w")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("m"));
    assert_eq!(names(&whole), BTreeSet::from(["chat", "errors"]));
    assert!(names(&ModuleCapabilities::new("nothing").with_task(Task::CHAT)).is_empty());
    assert!(names(&ModuleCapabilities::new("no task").with_model(model())).is_empty());
    let reranks = ModuleCapabilities::new("r")
        .with_task(Task::RERANK)
        .with_model(model());
    assert!(names(&reranks).is_empty());
}

#[test]
fn a_wrong_request_names_a_model_that_nobody_claims() {
    let claims = chat(&["one"]);
    for number in 0..100 {
        let probe = Questions::new(2).about(&claims, &Claim::Errors, number).unwrap();
        assert!(claims.model(probe.input.model().unwrap()).is_none());
    }
}

#[test]
fn only_what_is_claimed_can_be_asked_about() {
    let claims = chat(&["one"]);
    let about = |claim| Questions::new(2).about(&claims, &claim, 0).is_some();
    assert!(about(Claim::Model("one".into())));
    assert!(about(Claim::Context("one".into(), 8192)));
    assert!(about(Claim::Streaming));
    assert!(!about(Claim::Model("two".into())));
    assert!(!about(Claim::Context("one".into(), 4096)));
    let whole = ModuleCapabilities::new("w")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("m"));
    assert!(Questions::new(2).about(&whole, &Claim::Streaming, 0).is_none());
}

fn any_model() -> impl Strategy<Value = ModelInfo> {
    let names = prop_oneof![
        Just(String::new()),
        ".{0,20}",
        Just("x".repeat(5000)),
        Just("€".repeat(85))
    ];
    let contexts = proptest::option::of(prop_oneof![Just(0_u32), Just(1), Just(u32::MAX), any::<u32>()]);
    (names, contexts).prop_map(|(name, context)| {
        let mut model = ModelInfo::new(name);
        model.context_length = context;
        model
    })
}

fn any_claims() -> impl Strategy<Value = ModuleCapabilities> {
    let tasks = proptest::collection::vec(
        prop_oneof![
            Just(Task::CHAT),
            Just(Task::TEXT_COMPLETION),
            Just(Task::EMBEDDINGS),
            Just(Task::RERANK)
        ],
        0..4,
    );
    (tasks, proptest::collection::vec(any_model(), 0..6), any::<bool>()).prop_map(
        |(tasks, models, streams)| {
            let mut claims = ModuleCapabilities::new("any");
            claims.tasks = tasks;
            claims.models = models;
            claims.streaming = streams;
            claims
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_claim_makes_a_question_go_wrong(claims in any_claims(), seed in any::<u64>(), start in any::<u64>()) {
        let questions = Questions::new(seed);
        for step in 0..8 {
            let Some(probe) = questions.ask(&claims, start.wrapping_add(step)) else { continue };
            prop_assert!(size(&probe.input) <= 256 * 1024);
            prop_assert!(probe.input.model().is_ok());
            prop_assert!(probe.input.max_tokens().unwrap().is_none_or(|tokens| tokens >= 1));
            prop_assert!(probe.limit <= std::time::Duration::from_secs(300));
        }
    }
}

#[test]
fn ten_thousand_models_are_asked_for_without_fuss() {
    let mut claims = ModuleCapabilities::new("m").with_task(Task::CHAT);
    claims.models = (0..10_000).map(|id| ModelInfo::new(format!("m{id}"))).collect();
    let questions = Questions::new(1);
    for number in [0, 1, 9_999, u64::MAX] {
        assert!(questions.ask(&claims, number).is_some());
    }
}
