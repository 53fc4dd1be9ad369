//! A miner that is asked for ten times what it can do, over real sockets: who is refused is told why and when to come back,
//! and who is not gets all of his reply. What that costs in goodput and time is measured in `benches/miner`.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use synapse_core::{Error, ErrorKind};
use synapse_http::client::Upstream;
use synapse_miner::access::CallerLimits;

use crate::operated::{Answer, Miner};

const REQUESTS: usize = 800;
/// Requests that are kept under way, and how many of one validator's may be.
const AT_ONCE: usize = 128;
const ALLOWED: u32 = 48;

/// Status and code, where it says all that it should.
fn typed(error: &Error) -> (u16, String) {
    let said = Upstream::of(error).expect("the miner's own words");
    let status = said.status().expect("it came before any reply").as_u16();
    let wait = error.retry_after().expect("when to come back");
    assert_eq!(said.retry_after(), Some(wait), "{error:?}");
    assert!(
        (Duration::from_secs(1)..=Duration::from_secs(60)).contains(&wait),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    (status, error.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_much_is_refused_in_so_many_words_or_answered_whole() {
    let miner = Miner::start(CallerLimits::default().in_flight(ALLOWED)).await;
    let mut validators = Vec::new();
    for stake in [1_000, 1_000, 500, 10] {
        validators.push(miner.validator(stake).await);
    }
    let asked = stream::iter(0..REQUESTS).map(|at| {
        // One alone is stopped by what it may, all together by the queue.
        let whose = if at < REQUESTS / 2 {
            0
        } else {
            at % validators.len()
        };
        let (miner, validator) = (&miner, &validators[whose]);
        async move {
            // One reply ends for ten requests that are sent.
            if at % 10 == 0 {
                miner.end_one();
            }
            validator.ask().await
        }
    });
    let mut answers = Box::pin(asked.buffer_unordered(AT_ONCE));
    let (mut whole, mut refused) = (0, BTreeMap::<_, usize>::new());
    while let Some(answer) = answers.next().await {
        match answer {
            Answer::Whole => whole += 1,
            Answer::Refused(error) => *refused.entry(typed(&error)).or_default() += 1,
            Answer::Broken(words, error) => panic!("broken after {words} words: {error:?}"),
        }
        // All are sent: those who wait are let through.
        if whole + refused.values().sum::<usize>() + AT_ONCE >= REQUESTS {
            miner.end_one();
        }
    }
    eprintln!("overload: {REQUESTS} requests, {whole} answered whole, refused: {refused:?}");
    let codes: Vec<(u16, &str)> = refused
        .keys()
        .map(|(status, code)| (*status, code.as_str()))
        .collect();
    let expected = [
        (429, "caller_limit_reached"),
        (503, "queue_displaced"),
        (503, "queue_full"),
    ];
    assert_eq!(codes, expected);
    assert!(whole >= REQUESTS / 10, "{whole}");
    drop(answers);
    miner.stop().await;
}
