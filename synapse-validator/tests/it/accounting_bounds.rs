//! What could be had for nothing: replies that are written and thrown away, fields beside a prompt, other names of a model,
//! and rows of what nobody serves.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use synapse_core::{
    Body, Caller, Content, Error, InferenceModule, Input, Message, Micros, ModuleExt, Output, Part, Prompt,
    PromptRenderer, RateLimitStatus, RenderedPrompt, Request, Stack, Task, TokenCount, testkit::Scripted,
};
use synapse_validator::{
    PriceBook, RateLimitLayer, TokenCountLayer, Tokenizers,
    billing::{Price, SpendLimit, Terms},
    ledger::{Ledger, LedgerLayer, Query, Settings, query},
    pool::ServedLayer,
    rate_limit::{Limits, Quota},
    token_count::PromptTokens,
};
use tower::ServiceBuilder;

use crate::{
    fleet::{Fleet, Miner},
    format::{Bytes, Format},
    ledger_layer::{books, two_words},
};

const PLENTY: u64 = 1_000_000;

fn good() -> Scripted {
    Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) })
}

/// A completion of one prompt of 5 bytes, 10 tokens at most.
fn completion(n: u32, best_of: Option<Value>) -> Input {
    let prompt = Prompt::Texts(vec!["three".into()]);
    let mut request = Request::new("m", prompt).with_params(|params| {
        params.n = n;
        params.max_tokens = Some(10);
    });
    request
        .other
        .extend(best_of.map(|best_of| ("best_of".to_owned(), best_of)));
    Input::from_request(Task::TEXT_COMPLETION, request)
}

/// Tokens that it reserves beside its prompt.
async fn reserved(
    stack: &Stack<impl synapse_core::InferenceService, Scripted>,
    input: Input,
) -> Result<u64, Error> {
    let prompt = 5 + u64::from(input.wire().is_some());
    let output = stack.run_inference(input).await?;
    let status = output.head.extensions().get::<RateLimitStatus>().unwrap();
    Ok(PLENTY - status.tokens.unwrap().remaining() - prompt)
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_chosen_from_are_reserved_and_held_for() {
    async fn check(input: impl Fn() -> Input, expect: Result<u64, &str>) {
        let count = TokenCountLayer::new(Tokenizers::new().with("m", Arc::new(Bytes)));
        // Each time full: what is not used comes back at the end of a body, and this one's is kept.
        let limit = RateLimitLayer::per_caller(Quota::token_budget_per_day(PLENTY));
        let layers = ServiceBuilder::new().layer(count).layer(limit);
        let seen = reserved(&good().with(layers), input()).await;
        let seen = seen.as_ref().map(|tokens| *tokens).map_err(Error::code);
        assert_eq!(seen, expect, "{:?}", input());
    }
    check(|| completion(1, None), Ok(10)).await;
    check(|| completion(1, Some(Value::Null)), Ok(10)).await;
    check(|| completion(2, Some(json!(5))), Ok(50)).await;
    check(|| completion(3, Some(json!(2))), Ok(30)).await;
    for wrong in [
        json!(0),
        json!(129),
        json!(-1),
        json!(1.5),
        json!("5"),
        json!([5]),
    ] {
        check(|| completion(1, Some(wrong.clone())), Err("out_of_range")).await;
    }
    // As it comes over the wire; three prompts.
    let wire =
        |body: &'static str| move || Format::leaked().input(Task::TEXT_COMPLETION, "application/json", body);
    check(wire("4"), Ok(3 * 4 * 10)).await;
    check(wire("400"), Err("out_of_range")).await;
    check(wire("1.5"), Err("out_of_range")).await;
    // A conversation has no such field.
    let chat = || {
        let mut request = Request::new("m", Prompt::Messages(vec![]));
        request.params.max_tokens = Some(10);
        request.other.insert("best_of".to_owned(), json!(100));
        Input::from_request(Task::CHAT, request)
    };
    // Three before the reply, and none in the prompt.
    check(chat, Ok(10 + 3 - 5)).await;

    let books = books();
    let stack = two_words().with(books.layer.clone());
    let mut asked = completion(1, Some(json!(5)));
    asked.extensions_mut().insert(Caller::new("alice"));
    let output = stack.run_inference(asked).await.unwrap();
    // Four tokens of `three` and `best_of`, and ten millionths a token of replies.
    assert_eq!(books.metric("ledger.held", &[]), 4 + 10 * 50);
    drop(output);
}

/// A template that says the texts of messages, and that there is something where one has more.
#[derive(Debug)]
struct Texts;

impl PromptRenderer for Texts {
    fn render(&self, messages: &[Message], tools: Option<&Value>) -> Result<RenderedPrompt, Error> {
        let mut prompt = RenderedPrompt::new("", "tests");
        for message in messages {
            match &message.content {
                Content::Text(text) => prompt.push_plain(text),
                _ => prompt.push_template("#"),
            }
        }
        prompt.push_plain(tools.and_then(Value::as_str).unwrap_or_default());
        Ok(prompt)
    }
}

#[tokio::test]
async fn with_a_template_no_field_carries_words_for_nothing() {
    async fn check(task: Task, prompt: Prompt, other: Value, expect: TokenCount) {
        let tokenizers = Tokenizers::new()
            .with("m", Arc::new(Bytes))
            .with_renderer("m", Arc::new(Texts));
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = std::sync::Mutex::new(Some(tell));
        let stack = Scripted::new(move |input| {
            let count = input.extensions().get::<PromptTokens>().unwrap().count();
            tell.lock().unwrap().take().unwrap().send(count).unwrap();
            async { Ok(Output::new(Body::whole("ok"))) }
        })
        .with(TokenCountLayer::new(tokenizers));
        let mut request = Request::new("m", prompt);
        request.other = other.as_object().unwrap().clone();
        let shown = format!("{request:?}");
        stack
            .run_inference(Input::from_request(task, request))
            .await
            .unwrap();
        assert_eq!(told.await.unwrap(), expect, "{shown}");
    }
    let chat = async |other: Value, expect| {
        let said = Prompt::Messages(vec![Message::user("12345")]);
        check(Task::CHAT, said, other, expect).await;
    };
    let (exact, about) = (TokenCount::exact, TokenCount::approximate);
    chat(json!({}), exact(5)).await;
    // What the template writes, numbers, switches, and what no prompt holds.
    chat(json!({"tools": "1234567"}), exact(5 + 7)).await;
    chat(
        json!({"top_a": 1, "store": true, "user": "1234", "metadata": {"a": "b"}}),
        exact(5),
    )
    .await;
    chat(json!({"grammar": "root ::= 1"}), about(5 + 10)).await;
    chat(json!({"chat_template_kwargs": {"a": "bc"}}), about(5 + 10)).await;
    chat(json!({"documents": ["1234"]}), about(5 + 8)).await;
    chat(json!({"prompt": "1234", "tools": "1"}), about(5 + 4 + 1)).await;

    let image = Part::Other(json!({"type": "image_url", "image_url": {"url": "data:"}}));
    let seen = Message::with_content("user", Content::Parts(vec![image]));
    let said = Prompt::Messages(vec![Message::user("12345"), seen]);
    check(Task::CHAT, said, json!({}), about(5 + 1 + 9 + 1_000)).await;

    let text = || Prompt::Texts(vec!["12345".into()]);
    let complete = async |other: Value, expect| check(Task::TEXT_COMPLETION, text(), other, expect).await;
    complete(json!({"suffix": "12", "echo": true, "user": "1234"}), exact(7)).await;
    complete(json!({"grammar": "1234", "suffix": "12"}), about(5 + 4 + 2)).await;
    // What only Ollama's format has, of a prompt that no template takes.
    let ollamas = json!({"images": ["x".repeat(9_000), "y"], "system": "1234", "options": {"stop": "x"}});
    complete(json!({"ollama": ollamas}), about(5 + 4 + 2_000)).await;
    complete(json!({"ollama": "1234"}), about(5 + 4)).await;
    let tokens = Prompt::Tokens(vec![vec![1, 2]]);
    check(
        Task::TEXT_COMPLETION,
        tokens,
        json!({"grammar": "1234"}),
        about(2 + 4),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_without_a_tag_and_its_tag_latest_are_one_model() {
    let tokenizers = Tokenizers::new()
        .with("m:latest", Arc::new(Bytes))
        .with("n", Arc::new(Bytes));
    let count = TokenCountLayer::new(tokenizers);
    let limits = BTreeMap::from([("m", 1), ("n:latest", 1)]);
    let limits = limits
        .into_iter()
        .fold(Limits::none(), |limits, (model, requests)| {
            limits.per_model(model, Quota::requests_per_day(requests))
        });
    let layers = ServiceBuilder::new()
        .layer(count)
        .layer(RateLimitLayer::new(limits));
    let stack = good().with(layers);
    let ask = |model: &str| Input::chat(model, [Message::user("hello")]);
    for (model, same) in [("m", "m:latest"), ("n:latest", "n")] {
        let output = stack.run_inference(ask(model)).await.unwrap();
        let counted = output
            .head
            .extensions()
            .get::<synapse_validator::token_count::UsageReport>();
        let counted = counted.unwrap().clone();
        drop(output);
        // `user` and `hello`, four around them and three before the reply.
        assert_eq!(counted.get().unwrap().input.tokens(), 4 + 5 + 4 + 3, "{model}");
        let error = stack.run_inference(ask(same)).await.unwrap_err();
        assert_eq!(error.code(), "rate_limited", "{same}");
    }
    stack.run_inference(ask("m:8b")).await.unwrap();

    let book: PriceBook = r#"
[[version]]
number = 1
from = 2026-01-01
[version.models.m]
prompt = "1"
completion = "1"
[version.models."n:latest"]
prompt = "2"
completion = "2"
[version.models."n:8b"]
prompt = "3"
completion = "3"
[[version]]
number = 2
from = 2026-02-01
[version.models."m:latest"]
prompt = "4"
completion = "4"
[version.models.n]
prompt = "5"
completion = "5"
[version.models."n:8b"]
prompt = "3"
completion = "3"
"#
    .parse()
    .unwrap();
    let (january, february) = (1_767_225_600_000, 1_769_904_000_000);
    for (model, at, units) in [
        ("m", january, 1),
        ("m:latest", january, 1),
        ("n", january, 2),
        ("n:8b", january, 3),
        ("m", february, 4),
        ("n:latest", february, 5),
    ] {
        let price = Micros(units * 1_000_000);
        let quote = book.quote(model, at).unwrap();
        assert_eq!(quote.price, Price::per_million(price, price), "{model}");
    }
    for unknown in ["m:8b", "o", "m:latest:latest"] {
        assert_eq!(
            book.quote(unknown, january).unwrap_err().code(),
            "model_not_priced"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_name_the_cap_as_the_callers_format_does() {
    async fn check(format: &'static Format, name: &str) {
        let ask = || {
            let mut input = format.input(Task::TEXT_COMPLETION, "application/json", "5");
            input.extensions_mut().insert(Caller::new("alice"));
            input
        };
        for limits in [Quota::tokens_per_day(10), Quota::token_budget_per_day(10)] {
            let error = good()
                .with(RateLimitLayer::per_caller(limits))
                .run_inference(ask())
                .await
                .unwrap_err();
            assert!(error.to_string().ends_with(&format!("lower {name}")), "{error}");
        }
        let books = books();
        let spending = SpendLimit::default().per_day(Micros(310));
        let terms = Terms::default().spend_limit(spending);
        let stack = two_words().with(books.layer.clone().terms(terms));
        let error = stack.run_inference(ask()).await.unwrap_err();
        assert_eq!(error.param(), Some(name), "{error}");
        assert!(
            error.to_string().contains(&format!("set {name} to 2 or less")),
            "{error}"
        );
    }
    check(Format::leaked(), "max_tokens").await;
    check(Format::leaked_as("ollama"), "options.num_predict").await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_serves_has_no_row_and_takes_a_request_where_the_caller_is_at_fault() {
    let miner = Miner::good();
    let fleet = Fleet::of([("a", &miner)]);
    let pool = Arc::new(fleet.ordered().await);
    let dir = tempfile::tempdir().unwrap();
    let ledger = LedgerLayer::new(
        Ledger::open(dir.path(), Settings::default()).unwrap(),
        PriceBook::free(),
    );
    let stack = pool.clone().with(
        ServiceBuilder::new()
            .layer(RateLimitLayer::per_caller(Quota::requests_per_day(3)))
            .layer(ServedLayer::new(pool.clone()))
            .layer(ledger.clone()),
    );
    let rows = || query(dir.path(), &Query::default()).unwrap().totals.requests;
    let ask = |task: Task, model: &str| {
        let prompt = Prompt::Messages(vec![Message::user("hello")]);
        Input::from_request(task, Request::new(model, prompt))
    };
    let code = async |input: Input| {
        stack
            .run_inference(input)
            .await
            .map(drop)
            .map_err(|error| error.code().to_owned())
    };
    assert_eq!(code(ask(Task::CHAT, "m")).await, Ok(()));
    assert_eq!(rows(), 1);
    let images = Task::named("images");
    assert_eq!(
        code(ask(images.clone(), "m")).await,
        Err("task_unsupported".into())
    );
    assert_eq!(
        code(ask(Task::CHAT, "other")).await,
        Err("model_not_found".into())
    );
    assert_eq!(code(ask(images, "m")).await, Err("rate_limited".into()));
    assert_eq!(rows(), 1);

    // That nobody is there is no caller's fault, and no row either.
    let idle = Fleet::of([]).ordered().await;
    assert_eq!(
        idle.check_input(&ask(Task::CHAT, "m")).unwrap_err().code(),
        "no_miner_ready"
    );
}
