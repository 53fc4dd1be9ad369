//! A reply in Ollama's format, for a caller who asked in another one.

use std::collections::VecDeque;

use synapse_core::{Chunk, Error, Head, Output, Transform};

/// The reply as deltas of no format, which a router writes in the caller's.
pub(super) fn translated(output: Output) -> Output {
    let mut head = Head::default();
    if let Some(node) = output.head.served_by() {
        head = head.with_served_by(node.clone());
    }
    *head.extensions_mut() = output.head.extensions().clone();
    output.map_body(|body| body.transform(IntoDeltas)).with_head(head)
}

struct IntoDeltas;

impl Transform for IntoDeltas {
    fn on_chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if chunk.as_control().is_some() {
            out.push_back(chunk);
            return Ok(());
        }
        out.extend(chunk.deltas()?.iter().cloned().map(Chunk::delta));
        if chunk.is_last() {
            let last = out
                .pop_back()
                .ok_or_else(|| Error::broken("invalid_reply", "Ollama's reply ended with nothing in it"))?;
            out.push_back(last.into_last());
        }
        Ok(())
    }
}
