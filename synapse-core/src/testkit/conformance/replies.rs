//! Replies, whatever is asked: that they come, when the head does, and how they end.

use super::{
    questions::Questions,
    report::{Failure, Record, Verdict},
    subject::{Answer, Fault, Reply, Subject},
};
use crate::{Chunk, Delta, InferenceModule};

const NO_MODEL: &str = "the module declares no model";

/// Whether the module answers at all, so that more can be asked.
pub(super) async fn check<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) -> bool {
    if questions.capabilities.models.is_empty() {
        record.skip("answers", NO_MODEL);
        return false;
    }
    let mut replies = Vec::new();
    let mut silent = false;
    for task in questions.text_tasks() {
        let answer = subject.ask(questions.text(task, false)).await;
        silent |= matches!(answer, Err(Fault::Silent(_)));
        let (verdict, reply) = answered(answer);
        record.put(format!("answers_{task}"), verdict);
        replies.extend(reply);
        if silent {
            break;
        }
    }
    shape(&replies, record);
    if replies.is_empty() {
        record.skip("claims_sane_usage", "there was no reply that could claim any");
    } else {
        record.put("claims_sane_usage", replies.iter().try_for_each(usage));
    }
    !silent
}

/// What holds of every reply that came, streamed or not.
pub(super) fn shape(replies: &[Reply], record: &mut Record) {
    if replies.is_empty() {
        record.skip("reply_shape", "there was no reply to look at");
        return;
    }
    record.put(
        "fails_before_the_first_chunk",
        replies.iter().try_for_each(first_is_no_error),
    );
    record.put("head_waits_for_content", replies.iter().try_for_each(head_waits));
    record.put("ends_with_its_last_chunk", replies.iter().try_for_each(complete));
    record.put(
        "nothing_follows_the_last_chunk",
        replies.iter().try_for_each(nothing_follows),
    );
}

/// Whether an answer came, and with something in it.
pub(super) fn answered(answer: Result<Answer, Fault>) -> (Verdict, Option<Reply>) {
    let expected = "an answer with text or a tool call in it";
    match answer {
        Err(fault) => {
            let advice =
                "answer, or return an error, in time; Conformance::timeout gives a slow model longer";
            (Err(Failure::new(expected, fault, advice)), None)
        }
        Ok(Answer::Refused(error)) => {
            let advice = "answer what get_capabilities claims, or claim less";
            (
                Err(Failure::new(expected, format!("the error {error:?}"), advice)),
                None,
            )
        }
        // A body that broke is told by the checks of its shape.
        Ok(Answer::Replied(reply)) if reply.broken.is_none() && contents(&reply) == 0 => {
            let advice = "put what the model wrote into Delta::text, or choose a prompt that it answers";
            let seen = format!("{} chunks without any", reply.chunks.len());
            (Err(Failure::new(expected, seen, advice)), Some(reply))
        }
        Ok(Answer::Replied(reply)) => (Ok(()), Some(reply)),
    }
}

/// How many chunks of a reply hold something for the user, beyond the mere end.
pub(super) fn contents(reply: &Reply) -> usize {
    reply.chunks.iter().filter(|chunk| says_something(chunk)).count()
}

fn says_something(chunk: &Chunk) -> bool {
    let says = |delta: &Delta| {
        !delta.text.is_empty()
            || !delta.reasoning.is_empty()
            || !delta.tool_calls.is_empty()
            || delta.embedding.is_some()
    };
    match chunk.deltas() {
        Ok(deltas) if !deltas.is_empty() => deltas.iter().any(says),
        // Bytes that nobody here can read; an end marker is no content.
        _ => chunk.as_control().is_none() && chunk.wire().is_some_and(|bytes| !bytes.is_empty()),
    }
}

fn first_is_no_error(reply: &Reply) -> Verdict {
    let error = match &reply.at_once {
        Some(Err(error)) => error,
        _ if contents(reply) == 0 => match &reply.broken {
            Some(error) => error,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(Failure::new(
        "a failure before any content to be the Err of run_inference",
        format!("an Ok whose body fails at once: {error:?}"),
        "await Body::peek before returning: callers fail over on the Result, not on a chunk",
    ))
}

fn head_waits(reply: &Reply) -> Verdict {
    match reply.at_once {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            "run_inference to resolve with its first content there",
            "it resolved while the body had nothing to read",
            "await Body::peek before returning",
        )),
    }
}

fn complete(reply: &Reply) -> Verdict {
    let expected = "a body that ends with its last chunk";
    let advice =
        "mark the chunk that ends a reply with Chunk::into_last; fail with an Err only where it broke";
    match &reply.broken {
        Some(error) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        None => Ok(()),
    }
}

fn nothing_follows(reply: &Reply) -> Verdict {
    if reply.went_on {
        return Err(Failure::new(
            "nothing after the last chunk",
            "one more chunk",
            "end the stream with the chunk that is marked as the last; counts and controls come before it",
        ));
    }
    Ok(())
}

/// Whether what a reply claims of its own length can be.
pub(super) fn usage(reply: &Reply) -> Verdict {
    let advice = "count the tokens of the prompt, and of the reply so far; counts never fall within a reply";
    let mut before = None;
    for now in reply.chunks.iter().filter_map(Chunk::usage) {
        if let Some((input, output)) = before
            && (now.input_tokens < input || now.output_tokens < output)
        {
            let seen = format!("{now:?} after {input} input and {output} output tokens");
            return Err(Failure::new("counts that do not fall", seen, advice));
        }
        before = Some((now.input_tokens, now.output_tokens));
    }
    match before {
        Some((_, 0)) if contents(reply) > 0 && reply.broken.is_none() => Err(Failure::new(
            "at least one output token for a reply with text",
            "0 output tokens",
            advice,
        )),
        _ => Ok(()),
    }
}
