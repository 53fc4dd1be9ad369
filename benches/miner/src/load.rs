//! Streams at once, and when their tokens came.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::try_join_all};
use synapse_core::{InferenceModule, Input, Message, Prompt, Request, Task};

use crate::Fault;

/// What some streams at once saw.
pub(crate) struct Seen {
    /// Until the first token, one a stream.
    pub(crate) first: Vec<Duration>,
    /// Events with content, all streams together.
    pub(crate) events: f64,
    /// Those a second.
    pub(crate) per_second: f64,
}

/// Asks for so many replies of so many tokens at once, and reads them.
pub(crate) async fn ask(
    module: &Arc<dyn InferenceModule>,
    streams: usize,
    tokens: usize,
) -> Result<Seen, Fault> {
    let begun = Instant::now();
    let replies = try_join_all((0..streams).map(|at| one(module, at, tokens))).await?;
    let took = begun.elapsed().as_secs_f64();
    let events: usize = replies.iter().map(|(_, events)| events).sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
    let events = events as f64;
    Ok(Seen {
        first: replies.into_iter().map(|(first, _)| first).collect(),
        events,
        per_second: events / took,
    })
}

async fn one(
    module: &Arc<dyn InferenceModule>,
    at: usize,
    tokens: usize,
) -> Result<(Duration, usize), Fault> {
    let begun = Instant::now();
    let messages = vec![Message::user(format!("Count from {at} to a hundred, in words."))];
    let request = Request::new("m", Prompt::Messages(messages)).with_params(|params| {
        params.max_tokens = u32::try_from(tokens).ok();
        params.stream = true;
        params.temperature = Some(1.5);
    });
    let mut output = module
        .run_inference(Input::from_request(Task::CHAT, request))
        .await?;
    // It resolves at the first content.
    let first = begun.elapsed();
    let mut events = 0;
    while let Some(chunk) = output.body.next().await {
        events += usize::from(chunk?.has_content());
    }
    Ok((first, events))
}
