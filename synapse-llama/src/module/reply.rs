//! What the engine says, as chunks of a body.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use synapse_core::{Body, Chunk, Delta, Error, Usage};

use crate::engine::{Engine, Generation, GenerationEvent};

/// A reply that is being written.
#[derive(Debug)]
pub(super) struct Reply(Generation);

impl Reply {
    pub(super) fn new(generation: Generation) -> Self {
        Self(generation)
    }
}

impl Stream for Reply {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context).map(|event| {
            Some(match event? {
                Ok(GenerationEvent::Text { text, tokens }) => {
                    Ok(Chunk::delta(Delta::text(text).with_tokens(tokens)))
                }
                Ok(GenerationEvent::End { reason, usage }) => {
                    Ok(Chunk::delta(Delta::finish(reason).with_usage(usage)).into_last())
                }
                Err(error) => Err(error.into()),
            })
        })
    }
}

/// Embeds all texts as one request of the engine; the vectors come together.
pub(super) async fn embeddings(engine: &Engine, texts: Vec<Vec<u32>>) -> Result<Body, Error> {
    let input_tokens = texts.iter().map(|text| text.len() as u64).sum();
    let vectors = engine.embed_all(texts).await?;
    let mut deltas: Vec<_> = (0..)
        .zip(vectors)
        .map(|(index, vector)| Delta::embedding(index, vector))
        .collect();
    if let Some(last) = deltas.last_mut() {
        last.usage = Some(Usage {
            input_tokens,
            output_tokens: 0,
        });
    }
    Ok(Body::from_deltas(deltas))
}
