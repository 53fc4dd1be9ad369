//! Callers who leave.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    questions::Questions,
    report::{Failure, Record, Verdict},
    subject::{Answer, Subject, next, read},
};
use crate::{ErrorKind, InferenceModule};

/// Leaves at least so often, and more often than a module has places.
const LEAST: u32 = 8;
/// A module with more places than this is not filled up.
const MOST: u32 = 256;
/// How long a module that says it is full is left alone: cancelling may take it a moment.
const MOMENT: Duration = Duration::from_millis(10);

pub(super) async fn check<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    if questions.any().is_none() {
        for check in ["survives_cancel_before_the_head", "survives_cancel_mid_stream"] {
            record.skip(check, "it claims no task that the suite can ask for");
        }
        return;
    }
    let places = questions.capabilities.concurrency.unwrap_or(0).min(MOST);
    let times = LEAST.max(places + 2);

    leave_early(subject, questions, times).await;
    let verdict = still_answers(subject, questions, times, "before the reply began").await;
    let hung = verdict.is_err();
    record.put("survives_cancel_before_the_head", verdict);
    if hung {
        record.skip(
            "survives_cancel_mid_stream",
            "it did not survive the cancels before",
        );
        return;
    }
    leave_mid_stream(subject, questions, times).await;
    let verdict = still_answers(subject, questions, times, "mid-stream").await;
    record.put("survives_cancel_mid_stream", verdict);
}

/// Drops calls after their first poll, and a little later.
async fn leave_early<M: InferenceModule>(subject: &Subject<M>, questions: &Questions, times: u32) {
    let at_once = (0..times).map(|_| Duration::ZERO);
    let later = (0..times).map(|time| Duration::from_millis(u64::from(time % 4) + 1));
    for patience in at_once.chain(later) {
        let Some(input) = questions.any() else { return };
        // Who was too fast to be left stays to the end.
        if let Ok(Ok(Ok(output))) = timeout(patience, subject.open(input)).await {
            let _ = subject.call("the body", read(output.body)).await;
        }
        subject.observe_metrics();
    }
}

/// Drops replies after their first chunk.
async fn leave_mid_stream<M: InferenceModule>(subject: &Subject<M>, questions: &Questions, times: u32) {
    for _ in 0..times {
        let Some(input) = questions.any() else { return };
        if let Ok(Ok(mut output)) = subject.open(input).await {
            let _ = subject.call("the body", next(&mut output.body)).await;
        }
        subject.observe_metrics();
    }
}

async fn still_answers<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    times: u32,
    when: &str,
) -> Verdict {
    let started = Instant::now();
    let failure = |seen: String| {
        Failure::new(
            format!("an answer after {times} callers left {when}"),
            seen,
            "give every place back in a Pending or a Tap, which end however a request does, and stop the work behind it",
        )
    };
    loop {
        let Some(input) = questions.any() else {
            return Ok(());
        };
        match subject.ask(input).await {
            Ok(Answer::Replied(reply)) => match reply.broken {
                None => return Ok(()),
                Some(error) => return Err(failure(format!("the error {error:?}"))),
            },
            Ok(Answer::Refused(error))
                if error.kind() == ErrorKind::Overloaded && started.elapsed() < subject.timeout() =>
            {
                sleep(MOMENT).await;
            }
            Ok(Answer::Refused(error)) => return Err(failure(format!("the error {error:?}"))),
            Err(fault) => return Err(failure(fault.to_string())),
        }
    }
}
