//! Tokens, counted by ourselves.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;
use serde_json::Value;
use synapse_core::{
    Body, Chunk, Content, Delta, Error, ErrorKind, FinishReason, Framing, InferenceModule, Input, Message,
    ModuleExt, Output, Precision, Prompt, PromptRenderer, RenderedPrompt, Request, Task, TokenCount,
    Tokenizer, ToolCall, Usage, testkit::Scripted,
};
use synapse_validator::token_count::{
    CompletionMeter, PromptTokens, TokenCountLayer, Tokenizers, UsageReport,
};

use crate::format::Format;

/// A word with the space before it is a token: so a cut before a space changes no count. Notes the longest text.
#[derive(Debug, Default)]
struct Words {
    longest: AtomicUsize,
    calls: AtomicUsize,
}

impl Tokenizer for Words {
    fn name(&self) -> &str {
        "words"
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.longest.fetch_max(text.len(), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        if text.contains("refuse me") {
            return Err(Error::invalid("scripted", "a text that the tokenizer refuses"));
        }
        let words = text.split(' ').filter(|word| !word.is_empty());
        Ok(words.map(|word| u32::try_from(word.len()).unwrap()).collect())
    }

    fn decode(&self, _: &[u32]) -> Result<String, Error> {
        Err(Error::unsupported("scripted", "words do not come back"))
    }
}

/// `<role> text` a message, and `<assistant>` at the end.
#[derive(Debug)]
struct Tags;

impl PromptRenderer for Tags {
    fn render(&self, messages: &[Message], _: Option<&Value>) -> Result<RenderedPrompt, Error> {
        let mut text = String::new();
        for message in messages {
            let said = message
                .content
                .text()
                .ok_or_else(|| Error::unsupported("scripted", "only text"))?;
            text += &format!("<{}> {said} ", message.role);
        }
        Ok(RenderedPrompt::new(text + "<assistant>", "tests"))
    }
}

fn tokenizers() -> Tokenizers {
    Tokenizers::new()
        .with("plain", Arc::new(Words::default()))
        .with("templated", Arc::new(Words::default()))
        .with_renderer("templated", Arc::new(Tags))
}

/// What a layer inside sees of this request.
async fn counted(input: Input) -> Result<TokenCount, Error> {
    let seen = Arc::new(Mutex::new(None));
    let noted = seen.clone();
    let stack = Scripted::new(move |input| {
        *noted.lock().unwrap() = input.extensions().get::<PromptTokens>().map(PromptTokens::count);
        async { Ok(Output::new(Body::whole("ok"))) }
    })
    .with(TokenCountLayer::new(tokenizers()));
    stack.run_inference(input).await?;
    let count = seen.lock().unwrap().take();
    Ok(count.expect("the layer counted"))
}

#[tokio::test]
async fn prompts_are_counted_and_labelled() {
    async fn check(input: Input, expect: TokenCount) {
        assert_eq!(counted(input.clone()).await.unwrap(), expect, "{input:?}");
    }
    let message = || [Message::user("three small words")];
    check(Input::chat("templated", message()), TokenCount::exact(5)).await;
    // A word for the role, four around the message, three before the reply.
    check(
        Input::chat("plain", message()),
        TokenCount::approximate(3 + 1 + 4 + 3),
    )
    .await;
    check(Input::chat("unknown", message()), TokenCount::approximate(6)).await;
    let texts = Prompt::Texts(vec!["one two".into(), "three".into()]);
    check(
        Input::from_request(Task::EMBEDDINGS, Request::new("plain", texts)),
        TokenCount::exact(3),
    )
    .await;
    let tokens = Prompt::Tokens(vec![vec![1, 2, 3], vec![4]]);
    check(
        Input::from_request(Task::TEXT_COMPLETION, Request::new("plain", tokens)),
        TokenCount::exact(4),
    )
    .await;
    let image = Content::Parts(vec![
        synapse_core::Part::Text("what is this".into()),
        synapse_core::Part::Other(Value::Null),
    ]);
    let picture = [Message::with_content("user", image)];
    check(
        Input::chat("templated", picture),
        TokenCount::approximate(3 + 1_000 + 1 + 4 + 3),
    )
    .await;
    let refused = [Message::user("refuse me")];
    check(Input::chat("templated", refused), TokenCount::approximate(4)).await;
}

#[tokio::test]
async fn without_a_template_no_field_carries_words_for_nothing() {
    let said = || Value::from("five words that cost something");
    for name in ["tools", "functions", "response_format", "documents", "anything"] {
        for value in [
            said(),
            serde_json::json!([said()]),
            serde_json::json!({"description": said()}),
        ] {
            let mut request = Request::new("plain", Prompt::Messages(vec![Message::user("hi")]));
            request.other.insert(name.to_owned(), value);
            let count = counted(Input::from_request(Task::CHAT, request)).await.unwrap();
            assert_eq!(count, TokenCount::approximate(1 + 5 + 1 + 4 + 3), "{name}");
        }
    }
    for name in ["tool_calls", "function_call", "reasoning_content", "name"] {
        let mut message = Message::user("hi");
        message.other.insert(name.to_owned(), said());
        let count = counted(Input::chat("plain", [message])).await.unwrap();
        assert_eq!(count, TokenCount::approximate(1 + 5 + 1 + 4 + 3), "{name}");
    }
    // Another kind of words, and a medium, whose data are none.
    for (part, tokens) in [
        (serde_json::json!({"kind": "refusal", "refusal": said()}), 1 + 5),
        (
            serde_json::json!({"kind": "image_url", "image_url": {"url": said()}}),
            1 + 1_000,
        ),
    ] {
        let content = Content::Parts(vec![synapse_core::Part::Other(part)]);
        let asked = Input::chat("plain", [Message::with_content("user", content)]);
        assert_eq!(
            counted(asked).await.unwrap(),
            TokenCount::approximate(tokens + 1 + 4 + 3)
        );
    }
    // What no prompt holds: settings, and the caller's own notes.
    let mut request = Request::new("plain", Prompt::Messages(vec![Message::user("hi")]));
    for name in ["user", "metadata", "logit_bias", "tool_choice"] {
        request.other.insert(name.to_owned(), said());
    }
    request.other.insert("tools".to_owned(), serde_json::json!([]));
    request.other.insert("min_tokens".to_owned(), 7.into());
    let count = counted(Input::from_request(Task::CHAT, request)).await.unwrap();
    assert_eq!(count, TokenCount::approximate(1 + 1 + 4 + 3));
    let mut request = Request::new("plain", Prompt::Texts(vec!["one two".into()]));
    request.other.insert("suffix".to_owned(), said());
    let count = counted(Input::from_request(Task::TEXT_COMPLETION, request))
        .await
        .unwrap();
    assert_eq!(count, TokenCount::exact(2 + 5));
}

#[tokio::test]
async fn long_prompts_are_counted_elsewhere_and_too_long_ones_not_at_all() {
    let long = "word ".repeat(20_000);
    let count = counted(Input::chat("templated", [Message::user(long)]))
        .await
        .unwrap();
    assert_eq!(count, TokenCount::exact(20_002));

    let words = Arc::new(Words::default());
    let layer = TokenCountLayer::new(Tokenizers::new().with("plain", words.clone())).max_request_bytes(1_000);
    let stack = Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) }).with(layer);
    let error = stack
        .run_inference(Input::chat("plain", [Message::user("word ".repeat(300))]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::TooLarge, "prompt_too_large")
    );
    assert_eq!(words.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn totals_and_the_miners_claim_are_reported() {
    let reply = |claimed: u64| {
        Scripted::new(move |_| async move {
            let usage = Usage {
                input_tokens: 5,
                output_tokens: claimed,
            };
            let end = Delta::finish(FinishReason::Stop).with_usage(usage);
            Ok(Output::new(Body::from_deltas([
                Delta::text("red and"),
                Delta::text(" blue"),
                end,
            ])))
        })
    };
    for (claimed, mismatches) in [(3, 0.0), (15, 0.0), (300, 1.0)] {
        let layer = TokenCountLayer::new(tokenizers());
        let stack = reply(claimed).with(layer.clone()).attach(layer);
        let output = stack
            .run_inference(Input::chat("templated", [Message::user("three small words")]))
            .await
            .unwrap();
        let report = output.head.extensions().get::<UsageReport>().unwrap().clone();
        assert_eq!(report.get(), None, "the body goes on");
        assert_eq!(output.body.count().await, 3);
        let usage = report.get().unwrap();
        assert_eq!(
            (usage.input, usage.output),
            (TokenCount::exact(5), TokenCount::exact(3))
        );
        assert_eq!(usage.claimed.unwrap().output_tokens, claimed);
        let metrics = stack.get_metrics();
        let labels = [("model", "templated")];
        assert_eq!(metrics.get("tokens.input", &labels), Some(5.0));
        assert_eq!(metrics.get("tokens.output", &labels), Some(3.0));
        assert_eq!(
            metrics.get("usage.mismatch", &labels),
            Some(mismatches),
            "claims {claimed}"
        );
    }
}

#[tokio::test]
async fn a_reply_that_is_given_up_counts_as_far_as_it_came() {
    let stack = Scripted::new(|_| async {
        let words = ["one ", "two ", "three "].map(Delta::text);
        Ok(Output::new(Body::from_deltas(words)))
    })
    .with(TokenCountLayer::new(tokenizers()));
    let mut output = stack
        .run_inference(Input::chat("plain", [Message::user("hello")]))
        .await
        .unwrap();
    let report = output.head.extensions().get::<UsageReport>().unwrap().clone();
    output.body.next().await.unwrap().unwrap();
    drop(output);
    assert_eq!(report.get().unwrap().output, TokenCount::exact(1));
}

#[test]
fn replies_reasoning_and_tool_calls_are_counted_apart() {
    let mut meter = CompletionMeter::new(Some(Arc::new(Words::default())));
    let mut one = Delta::text("wo");
    one.reasoning = "think".into();
    let mut other = Delta::text("other");
    other.index = 1;
    let mut rest = Delta::text("rd");
    let mut call = ToolCall::default();
    call.name = Some("lookup".into());
    call.arguments = " {}".into();
    rest.tool_calls = vec![call];
    for delta in [one, other, rest] {
        meter.add(&Chunk::delta(delta));
    }
    // word; think; other; lookup and {}.
    assert_eq!(meter.count(), TokenCount::exact(5));
}

#[test]
fn an_event_that_nobody_here_understands_counts_by_its_length() {
    let mut meter = CompletionMeter::new(Some(Arc::new(Words::default())));
    meter.add(&Chunk::delta(Delta::text("one two")));
    let event = Chunk::read("obscure!".into(), Format::leaked(), Framing::Unframed);
    meter.add(&event.unwrap().unwrap());
    assert_eq!(meter.count(), TokenCount::approximate(2 + 2));
}

#[test]
fn what_a_miner_sends_bounds_the_work() {
    let words = Arc::new(Words::default());
    let mut meter = CompletionMeter::new(Some(words.clone()));
    meter.add(&Chunk::delta(Delta::text("x".repeat(10_000_000))));
    // 64 KiB in 32 segments, each a word, and a quarter of the other bytes.
    let expect = 32 + (10_000_000 - 64 * 1024) / 4;
    assert_eq!(meter.count(), TokenCount::approximate(expect));
    assert_eq!(words.calls.load(Ordering::Relaxed), 32);
    for index in 0..100_000 {
        let mut delta = Delta::text("x");
        delta.index = index;
        meter.add(&Chunk::delta(delta));
    }
    meter.count();
    assert!(words.calls.load(Ordering::Relaxed) < 200);
    assert!(words.longest.load(Ordering::Relaxed) <= 2_048);
}

#[test]
fn of_a_reply_beyond_the_budget_only_the_rest_is_estimated() {
    let check = |text: &str, expect: u64| {
        let mut meter = CompletionMeter::new(Some(Arc::new(Words::default())));
        meter.add(&Chunk::delta(Delta::text(text)));
        assert_eq!(meter.count(), TokenCount::approximate(expect));
    };
    // 8 bytes a word: 8,192 words in the budget, and 1 KiB beyond.
    check(&" wordies".repeat(65 * 128), 8_192 + 256);
    // The budget ends within a character of three bytes, which counts with the rest.
    let text = format!("a{}", " €€".repeat(10_000));
    let counted = (64 * 1024_u64 - 1) / 7;
    let rest = text.len() as u64 - 64 * 1024;
    let mut meter = CompletionMeter::new(Some(Arc::new(Words::default())));
    meter.add(&Chunk::delta(Delta::text(&text)));
    let tokens = meter.count().tokens();
    assert!(tokens.abs_diff(counted + rest / 4) <= 2, "{tokens}");
}

/// A tokenizer that takes as long as the test wants, and notes how many texts it works on at once.
#[derive(Debug, Default)]
struct Slow {
    open: Mutex<bool>,
    opened: Condvar,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Tokenizer for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn encode(&self, _: &str) -> Result<Vec<u32>, Error> {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        drop(
            self.opened
                .wait_while(self.open.lock().unwrap(), |open| !*open)
                .unwrap(),
        );
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        Ok(vec![0])
    }

    fn decode(&self, _: &[u32]) -> Result<String, Error> {
        Err(Error::unsupported("scripted", "nothing comes back"))
    }
}

#[tokio::test]
async fn clients_who_leave_do_not_make_room_for_more_counting() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = (cores - 1).max(1);
    let slow = Arc::new(Slow::default());
    let layer = TokenCountLayer::new(Tokenizers::new().with("slow", slow.clone()));
    let stack = Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) }).with(layer);
    let prompt = Prompt::Texts(vec!["word ".repeat(10_000)]);
    let ask = || {
        stack.run_inference(Input::from_request(
            Task::EMBEDDINGS,
            Request::new("slow", prompt.clone()),
        ))
    };
    // Each of these leaves once its counting began, or found no place.
    for _ in 0..2 * workers {
        assert!(ask().now_or_never().is_none());
    }
    let last = async {
        // Counting that must not happen is given the time to.
        tokio::time::sleep(Duration::from_millis(50)).await;
        slow.open();
    };
    let (answer, ()) = tokio::join!(ask(), last);
    assert!(answer.is_ok());
    assert_eq!(slow.most.load(Ordering::SeqCst), workers);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_looked_into() {
    let format = Format::leaked();
    let layer = TokenCountLayer::new(tokenizers()).max_request_bytes(1_000);
    let stack = Scripted::new(|_| async { Ok(Output::new(Body::whole("ok"))) }).with(layer);
    let long = format.input(Task::CHAT, "application/json", "x".repeat(1_001));
    let error = stack.run_inference(long).await.unwrap_err();
    assert_eq!((error.code(), format.views()), ("prompt_too_large", 0));
    let fits = format.input(Task::CHAT, "application/json", "x".repeat(1_000));
    assert!(stack.run_inference(fits).await.is_ok());
    assert_eq!(format.views(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_count_does_not_depend_on_how_the_text_was_cut(
        words in prop::collection::vec("[a-zé]{1,12}", 1..800),
        cuts in prop::collection::vec(1..200_usize, 1..50),
    ) {
        let text = words.join(" ");
        let tokenizer = Arc::new(Words::default());
        let mut meter = CompletionMeter::new(Some(tokenizer.clone()));
        let (mut rest, mut cuts) = (text.as_str(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let at = rest.floor_char_boundary(cuts.next().unwrap().max(2).min(rest.len()));
            let (piece, after) = rest.split_at(at);
            meter.add(&Chunk::delta(Delta::text(piece)));
            rest = after;
        }
        let count = meter.count();
        prop_assert_eq!(count.tokens(), words.len() as u64);
        let whole = text.len() <= 2_048;
        prop_assert_eq!(count.precision() == Precision::Exact, whole);
        prop_assert!(tokenizer.longest.load(Ordering::Relaxed) <= 2_048);
    }
}
