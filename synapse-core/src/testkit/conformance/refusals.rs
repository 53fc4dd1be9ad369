//! What a module must refuse, and two requests at once.

use super::{
    questions::Questions,
    report::{Failure, Record, Verdict},
    subject::{Answer, Fault, Subject},
};
use crate::{Error, ErrorKind, InferenceModule, Task};

pub(super) async fn check<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    if let Some(input) = questions.any_of("conformance-no-such-model") {
        let verdict = refused(
            subject.ask(input).await,
            "an unknown model to be refused, as the caller's fault",
            |error| error.kind().is_callers_fault(),
            "return Error::model_not_found; ModuleCapabilities::check_input does",
        );
        record.put("refuses_unknown_models", verdict);
    }
    let undeclared = Task::named("conformance-no-such-task");
    let verdict = refused(
        subject.ask(questions.text(&undeclared, false)).await,
        "a task that is not claimed to be refused, as the caller's fault",
        |error| {
            matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::NotFound
            )
        },
        "look at input.task() first; ModuleCapabilities::check_input does",
    );
    record.put("refuses_undeclared_tasks", verdict);
    if let (Some(one), Some(other)) = (questions.any(), questions.any()) {
        let (one, other) = tokio::join!(subject.ask(one), subject.ask(other));
        let room = questions.capabilities.concurrency.is_none_or(|limit| limit > 1);
        let verdict = ended(one, room).and(ended(other, room));
        record.put("answers_two_at_once", verdict);
    }
}

fn refused(
    answer: Result<Answer, Fault>,
    expected: &'static str,
    fits: impl FnOnce(&Error) -> bool,
    advice: &'static str,
) -> Verdict {
    match answer {
        Ok(Answer::Refused(error)) if fits(&error) => Ok(()),
        Ok(Answer::Refused(error)) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        Ok(Answer::Replied(_)) => Err(Failure::new(expected, "an answer", advice)),
        Err(fault) => Err(Failure::new(expected, fault, advice)),
    }
}

fn ended(answer: Result<Answer, Fault>, room: bool) -> Verdict {
    let expected = "two requests at once both to end, answered where there is room for two";
    let advice =
        "share nothing between requests that one of them holds on to, or claim the concurrency that is true";
    match answer {
        Ok(Answer::Replied(reply)) => match reply.broken {
            None => Ok(()),
            Some(error) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        },
        Ok(Answer::Refused(error)) if error.kind() == ErrorKind::Overloaded && !room => Ok(()),
        Ok(Answer::Refused(error)) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        Err(fault) => Err(Failure::new(expected, fault, advice)),
    }
}
