//! Broken replies.

use std::{future::pending, sync::Arc};

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Chunk, Delta, Error, ErrorKind, FinishReason, Input, ModelInfo, ModuleCapabilities, Output, Task,
    Usage,
};
use tokio::{sync::Semaphore, task::yield_now};

use super::{Broken, honest_answer, honest_deltas};

pub(crate) fn lies_about_streaming() -> Broken {
    Broken::replying(|| Body::from_deltas([Delta::text("one two"), Delta::finish(FinishReason::Stop)]))
}

pub(crate) fn panics_at_once() -> Broken {
    Broken::answering(|_| async { panic!("a fault injected into run_inference") })
}

pub(crate) fn panics_in_the_body() -> Broken {
    Broken::replying(|| {
        Body::new(stream::iter([0, 1]).map(|at| match at {
            0 => Ok(Chunk::delta(Delta::text("one "))),
            _ => panic!("a fault injected into the body"),
        }))
    })
}

pub(crate) fn error_as_first_chunk() -> Broken {
    Broken::replying(|| {
        let error = Error::unavailable("upstream_down", "a fault injected before any content");
        Body::new(stream::iter([Err(error)]))
    })
}

pub(crate) fn stops_without_a_last_chunk() -> Broken {
    Broken::replying(|| Body::new(stream::iter(honest_deltas().map(|delta| Ok(Chunk::delta(delta))))))
}

pub(crate) fn goes_on_after_the_last() -> Broken {
    Broken::replying(|| {
        let [one, two, end] = honest_deltas();
        let after = Chunk::delta(Delta::text("three"));
        let chunks = [
            Chunk::delta(one),
            Chunk::delta(two),
            Chunk::delta(end).into_last(),
            after,
        ];
        Body::new(stream::iter(chunks.map(Ok)))
    })
}

pub(crate) fn never_answers() -> Broken {
    Broken::answering(|_| pending())
}

pub(crate) fn resolves_before_content() -> Broken {
    Broken::replying(|| {
        let late = stream::once(yield_now()).filter_map(|()| async { None });
        Body::new(late.chain(stream::iter([
            Ok(Chunk::delta(Delta::text("one "))),
            Ok(Chunk::delta(Delta::text("two")).into_last()),
        ])))
    })
}

pub(crate) fn empty_answers() -> Broken {
    Broken::replying(|| Body::from_deltas([Delta::finish(FinishReason::Stop)]))
}

pub(crate) fn falling_usage() -> Broken {
    Broken::replying(|| {
        let counted = |delta: Delta, output_tokens| {
            delta.with_usage(Usage {
                input_tokens: 4,
                output_tokens,
            })
        };
        Body::from_deltas([counted(Delta::text("one "), 2), counted(Delta::text("two"), 1)])
    })
}

pub(crate) fn accepts_any_model() -> Broken {
    Broken::answering(|input: Input| async move {
        let known = *input.task() == Task::CHAT;
        if !known {
            return Err(Error::unsupported("task_unsupported", "only chat"));
        }
        Ok(Output::new(Body::from_deltas(honest_deltas())))
    })
}

pub(crate) fn accepts_any_task() -> Broken {
    Broken::answering(|input: Input| async move {
        match input.model()? {
            "broken" => Ok(Output::new(Body::from_deltas(honest_deltas()))),
            other => Err(Error::model_not_found(other)),
        }
    })
}

/// Refuses a second request, and does not say so.
pub(crate) fn serves_one_at_a_time() -> Broken {
    let places = Arc::new(Semaphore::new(1));
    Broken::answering(move |input: Input| {
        let place = places.clone().try_acquire_owned();
        async move {
            let _place =
                place.map_err(|_| Error::new(ErrorKind::Overloaded, "busy", "a request is under way"))?;
            yield_now().await;
            honest_answer(&input)
        }
    })
}

/// Embeds, and gives every text the same vector.
pub(crate) fn one_vector_for_all() -> Broken {
    let claims = || {
        ModuleCapabilities::new("broken")
            .with_task(Task::EMBEDDINGS)
            .with_model(ModelInfo::new("broken"))
    };
    Broken {
        claims: Box::new(move |_| claims()),
        ..Broken::answering(move |input: Input| async move {
            claims().check_input(&input)?;
            let vectors = (0..3).map(|index| Delta::embedding(index, vec![1.0, 0.0]));
            Ok(Output::new(Body::from_deltas(vectors)))
        })
    }
}
