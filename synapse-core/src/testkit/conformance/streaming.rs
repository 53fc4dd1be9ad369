//! Replies that come as they are made.

use super::{
    questions::Questions,
    replies::{answered, contents, shape, usage},
    report::{Failure, Record, Verdict},
    subject::{Answer, Fault, Reply, Subject},
};
use crate::{ErrorKind, InferenceModule};

pub(super) async fn check<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    let mut replies = Vec::new();
    for task in questions.text_tasks() {
        let answer = subject.ask(questions.text(task, true)).await;
        if questions.capabilities.streaming {
            let (verdict, reply) = answered(answer);
            record.put(format!("streams_{task}"), verdict);
            replies.extend(reply);
        } else {
            record.put(format!("streams_{task}"), refused_or_whole(answer));
        }
    }
    if !questions.capabilities.streaming {
        record.skip("streams_as_it_is_made", "the module does not claim to stream");
        return;
    }
    record.put("streams_as_it_is_made", replies.iter().try_for_each(in_pieces));
    let mut streamed = Record::default();
    shape(&replies, &mut streamed);
    record.absorb("streamed_", streamed);
    record.put("streamed_claims_sane_usage", replies.iter().try_for_each(usage));
}

fn in_pieces(reply: &Reply) -> Verdict {
    let pieces = contents(reply);
    if pieces > 1 || reply.broken.is_some() {
        return Ok(());
    }
    Err(Failure::new(
        "a streamed reply of several words in several chunks",
        format!("all of it in {pieces}"),
        "send each piece as it is made, leave with_streaming() out, or choose a prompt with a longer answer",
    ))
}

fn refused_or_whole(answer: Result<Answer, Fault>) -> Verdict {
    let expected = "a streamed request to be answered whole, or refused as unsupported";
    let advice = "send the whole reply as one chunk, or return Error::unsupported";
    match answer {
        Ok(Answer::Replied(reply)) => match reply.broken {
            None => Ok(()),
            Some(error) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        },
        Ok(Answer::Refused(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Ok(Answer::Refused(error)) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        Err(fault) => Err(Failure::new(expected, fault, advice)),
    }
}
