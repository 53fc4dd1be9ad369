//! Asking, what is measured, and what is made of it.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, FinishReason, Input, Message, ModelInfo, ModuleCapabilities,
    Output, Task,
    probe::{Answer, Claim, Finding, Probe, Questions, Verdict, ask},
    testkit::{Echo, Scripted},
};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(10);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Says these texts, each after so many milliseconds, and then ends.
fn says(pieces: &'static [(u64, &'static str)]) -> Scripted {
    Scripted::new(move |_| async move {
        let texts = stream::iter(pieces).then(|(wait, text)| async move {
            sleep(ms(*wait)).await;
            Ok(Chunk::delta(Delta::text(*text)))
        });
        let end = Chunk::delta(Delta::finish(FinishReason::Stop)).into_last();
        let mut body = Body::new(texts.chain(stream::iter([Ok(end)])));
        body.peek().await?;
        Ok(Output::new(body))
    })
}

fn fails(kind: ErrorKind, code: &'static str, message: &'static str) -> Scripted {
    Scripted::new(move |_| std::future::ready(Err(Error::new(kind, code, message))))
}

fn hello() -> Input {
    Input::chat("scripted", [Message::user("hello")])
}

async fn answer(module: &Scripted) -> Answer {
    ask(module, hello(), LIMIT).await
}

fn code(answer: &Answer) -> &str {
    answer.error.as_ref().map_or("", Error::code)
}

#[tokio::test(start_paused = true)]
async fn measures_a_streamed_reply() {
    let answer = answer(&says(&[
        (300, "0123456789abcdef"),
        (500, "0123456789abcdef"),
        (500, "01234567"),
    ]))
    .await;
    assert!(answer.error.is_none(), "{:?}", answer.error);
    assert_eq!((answer.first_content, answer.total), (Some(ms(300)), ms(1300)));
    assert_eq!((answer.text_bytes, answer.tokens(), answer.chunks), (40, 10, 3));
    assert_eq!(answer.finish, Some(FinishReason::Stop));
    assert_eq!(answer.tokens_per_second(), Some(10.0));
}

#[tokio::test(start_paused = true)]
async fn speed_of_what_came_at_once_is_that_of_the_whole_time() {
    let whole = answer(&says(&[(2000, "0123456789abcdef0123456789abcdef")])).await;
    assert_eq!(whole.tokens_per_second(), Some(4.0));
    let held_back = answer(&says(&[(2000, "0123456789abcdef"), (0, "0123456789abcdef")])).await;
    assert_eq!(held_back.tokens_per_second(), Some(4.0));
    let short = answer(&says(&[(10, "hello"), (10, "there")])).await;
    assert_eq!(short.tokens_per_second(), None);
}

#[tokio::test(start_paused = true)]
async fn keeps_the_beginning_of_a_long_text_and_counts_all_of_it() {
    let long = Scripted::new(|_| async {
        // Three bytes each, so that the bound falls within one.
        let deltas = [Delta::text("€".repeat(10_000)), Delta::text("and on")];
        Ok(Output::new(Body::from_deltas(deltas)))
    });
    let answer = answer(&long).await;
    assert_eq!(answer.text_bytes, 30_006);
    assert!(
        answer.text.len() <= 16 * 1024 && answer.text.starts_with("€€"),
        "{}",
        answer.text.len()
    );
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_the_answers_error() {
    let never = Scripted::new(|_| std::future::pending());
    let silent = answer(&never).await;
    assert_eq!((code(&silent), silent.total), ("answer_timeout", LIMIT));
    assert_eq!(silent.error.unwrap().kind(), ErrorKind::Timeout);

    let stops = Scripted::new(|_| async {
        let first = stream::iter([Ok(Chunk::delta(Delta::text("hello there")))]);
        Ok(Output::new(Body::new(first.chain(stream::pending()))))
    });
    let cut = answer(&stops).await;
    assert_eq!((code(&cut), cut.text.as_str()), ("answer_timeout", "hello there"));
    assert_eq!(cut.first_content, Some(Duration::ZERO));

    let empty = Scripted::new(|_| async {
        Ok(Output::new(Body::from_deltas([Delta::finish(
            FinishReason::Stop,
        )])))
    });
    assert_eq!(code(&answer(&empty).await), "empty_reply");
    let noise = Scripted::new(|_| async { Ok(Output::new(Body::whole("noise"))) });
    assert_eq!(code(&answer(&noise).await), "empty_reply");
    let refuses = fails(ErrorKind::Overloaded, "queue_full", "the queue is full");
    assert_eq!(code(&answer(&refuses).await), "queue_full");
}

#[tokio::test(start_paused = true)]
async fn a_vector_is_an_answer() {
    let module =
        Scripted::new(|_| async { Ok(Output::new(Body::from_deltas([Delta::embedding(0, vec![0.5])]))) });
    let answer = answer(&module).await;
    assert!(answer.error.is_none());
    assert!(answer.first_content.is_some() && answer.text_bytes == 0);
}

/// Capabilities that claim all there is to find out.
fn claims() -> ModuleCapabilities {
    ModuleCapabilities::new("claims")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("scripted").with_context_length(4096))
        .with_streaming()
}

async fn judged(claim: &Claim, module: &Scripted) -> Vec<Finding> {
    let probe = Questions::new(1).about(&claims(), claim, 3).unwrap();
    probe.judge(&ask(module, probe.input.clone(), probe.limit).await)
}

fn verdict<'a>(findings: &'a [Finding], claim: &Claim) -> Option<&'a Verdict> {
    let mut of_it = findings.iter().filter(|finding| finding.claim == *claim);
    let first = of_it.next().map(|finding| &finding.verdict);
    assert!(of_it.next().is_none(), "two verdicts about {claim}");
    first
}

async fn kept(claim: Claim, module: &Scripted) {
    let findings = judged(&claim, module).await;
    assert_eq!(verdict(&findings, &claim), Some(&Verdict::Kept), "{findings:?}");
}

async fn broken(claim: Claim, module: &Scripted) {
    let findings = judged(&claim, module).await;
    let found = verdict(&findings, &claim);
    assert!(matches!(found, Some(Verdict::Broken(_))), "{findings:?}");
}

async fn nothing(claim: Claim, module: &Scripted) {
    let findings = judged(&claim, module).await;
    assert_eq!(verdict(&findings, &claim), None, "{findings:?}");
}

const WORDS: &[(u64, &str)] = &[
    (50, "a reply of more than "),
    (50, "sixteen tokens, which "),
    (50, "comes as it is made, "),
    (50, "a piece at a time, "),
];

#[tokio::test(start_paused = true)]
async fn a_model_that_is_claimed_is_served() {
    let claim = || Claim::Model("scripted".into());
    let unknown = fails(
        ErrorKind::NotFound,
        "model_not_found",
        "the model is not served here",
    );
    kept(claim(), &says(WORDS)).await;
    broken(claim(), &unknown).await;
    nothing(claim(), &fails(ErrorKind::Overloaded, "queue_full", "full")).await;
    nothing(claim(), &Scripted::new(|_| std::future::pending())).await;
    broken(
        claim(),
        &Scripted::new(|input: Input| async move { Err(Error::model_not_found(input.model()?)) }),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_context_is_as_long_as_claimed() {
    let claim = || Claim::Context("scripted".into(), 4096);
    let refused = |code, message| fails(ErrorKind::Invalid, code, message);
    kept(claim(), &says(WORDS)).await;
    broken(claim(), &refused("context_length_exceeded", "no room")).await;
    broken(claim(), &fails(ErrorKind::TooLarge, "too_large", "no room")).await;
    broken(
        claim(),
        &refused(
            "upstream_refused",
            "This model's maximum context length is 2048 tokens",
        ),
    )
    .await;
    broken(
        claim(),
        &refused("400", "the request exceeds the available context size"),
    )
    .await;
    nothing(
        claim(),
        &refused("bad_temperature", "temperature is out of range"),
    )
    .await;
    nothing(
        claim(),
        &fails(ErrorKind::Unavailable, "down", "context deadline exceeded"),
    )
    .await;
    nothing(claim(), &Scripted::new(|_| std::future::pending())).await;
}

#[tokio::test(start_paused = true)]
async fn a_context_half_as_long_as_claimed_is_found_out_and_an_honest_one_is_not() {
    fn with_room_for(tokens: usize) -> Scripted {
        Scripted::new(move |input: Input| async move {
            let request = input.request()?;
            let said = request
                .messages()
                .iter()
                .filter_map(|message| message.content.text());
            let words: usize = said.map(|text| text.split_whitespace().count()).sum();
            if words > tokens {
                return Err(Error::invalid("context_length_exceeded", "too long"));
            }
            Ok(Output::new(Body::from_deltas([Delta::text("fine")])))
        })
    }
    let claim = || Claim::Context("scripted".into(), 4096);
    kept(claim(), &with_room_for(2048)).await;
    broken(claim(), &with_room_for(1900)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_as_it_is_made() {
    kept(Claim::Streaming, &says(WORDS)).await;
    let whole = "a reply of more than sixteen tokens that comes in one piece, as none should";
    let whole: &'static [(u64, &str)] = Box::leak(Box::new([(900, whole)]));
    broken(Claim::Streaming, &says(whole)).await;
    let at_once: &'static [(u64, &str)] = &[
        (900, "a reply of more than sixteen "),
        (0, "tokens that was held back until "),
        (0, "all of it was there"),
    ];
    broken(Claim::Streaming, &says(at_once)).await;
    let quick: &'static [(u64, &str)] = &[
        (5, "a reply of more than sixteen "),
        (0, "tokens of somebody who needs no "),
        (0, "time at all to make it"),
    ];
    nothing(Claim::Streaming, &says(quick)).await;
    nothing(Claim::Streaming, &says(&[(900, "too short")])).await;
    nothing(Claim::Streaming, &fails(ErrorKind::Broken, "cut", "cut off")).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused() {
    let unknown = Scripted::new(|input: Input| async move { Err(Error::model_not_found(input.model()?)) });
    kept(Claim::Errors, &unknown).await;
    kept(Claim::Errors, &fails(ErrorKind::Invalid, "bad", "no such model")).await;
    broken(Claim::Errors, &says(WORDS)).await;
    nothing(Claim::Errors, &fails(ErrorKind::Internal, "oops", "oops")).await;
    nothing(Claim::Errors, &fails(ErrorKind::Overloaded, "queue_full", "full")).await;
    nothing(Claim::Errors, &Scripted::new(|_| std::future::pending())).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_what_a_wrong_request_gets() {
    async fn met(claim: Claim, module: &Scripted) -> bool {
        let probe = Questions::new(1).about(&claims(), &claim, 3).unwrap();
        probe.is_met_by(&ask(module, probe.input.clone(), probe.limit).await)
    }
    let refuses = fails(ErrorKind::NotFound, "model_not_found", "unknown");
    assert!(met(Claim::Errors, &refuses).await);
    assert!(!met(Claim::Errors, &says(WORDS)).await);
    assert!(!met(Claim::Streaming, &refuses).await);
    assert!(met(Claim::Streaming, &says(WORDS)).await);
}

#[tokio::test(start_paused = true)]
async fn an_echo_keeps_all_that_it_claims() {
    let echo = Echo::new();
    let questions = Questions::new(9);
    for number in 0..64 {
        let probe = questions
            .ask(&synapse_core::InferenceModule::get_capabilities(&echo), number)
            .unwrap();
        let answer = ask(&echo, probe.input.clone(), probe.limit).await;
        assert!(probe.is_met_by(&answer), "{}: {:?}", probe.name, answer.error);
        for finding in probe.judge(&answer) {
            assert_eq!(finding.verdict, Verdict::Kept, "{}", finding.claim);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_ones_own_shows_whether_the_model_is_served() {
    let probe = Probe::new("mine", hello(), LIMIT);
    let findings = probe.judge(&answer(&says(WORDS)).await);
    assert_eq!(findings, [Finding::kept(Claim::Model("scripted".into()))]);
}
