//! A reply for a caller who asked in another format.

use std::collections::VecDeque;

use synapse_core::{Chunk, Error, Head, Output, Transform};

use crate::dialect::{Form, Heard};

pub(super) fn into_deltas(output: Output) -> Output {
    let mut head = Head::default();
    if let Some(node) = output.head.served_by() {
        head = head.with_served_by(node.clone());
    }
    *head.extensions_mut() = output.head.extensions().clone();
    let deltas = IntoDeltas(Heard::new(Form::OpenAi));
    output.map_body(|body| body.transform(deltas)).with_head(head)
}

struct IntoDeltas(Heard);

impl Transform for IntoDeltas {
    fn on_chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if chunk.as_control().is_some() {
            out.push_back(chunk);
            return Ok(());
        }
        out.extend(self.0.deltas(&chunk)?.iter().cloned().map(Chunk::delta));
        if chunk.is_last() {
            let last = out
                .pop_back()
                .ok_or_else(|| Error::broken("invalid_reply", "Ollama's reply ended with nothing in it"))?;
            out.push_back(last.into_last());
        }
        Ok(())
    }
}
