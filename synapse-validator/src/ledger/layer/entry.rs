//! One request, from its opening row to its closing row.

use std::sync::Arc;

use synapse_core::{Chunk, Ending, Micros, NodeId, Tap, TokenCount, Usage};
use tokio::time::Instant;

use super::{LedgerLayer, acknowledged::Closed, counts::Counts, millis};
use crate::{
    billing::{Hold, Price},
    ledger::{Closing, EntryId, Ledger, Opening, Outcome, UnixMillis},
    token_count::Metered,
};

/// Bytes of an error's code that a row has. A miner may have made it up.
const CODE_BYTES: usize = 64;

/// One request that has its opening row. Its ending writes the closing row, once, and lets the hold go then.
pub(super) struct Entry {
    ledger: Ledger,
    counts: Arc<Counts>,
    entry: EntryId,
    at: UnixMillis,
    began: Instant,
    price: Price,
    prompt: TokenCount,
    most_completion: u64,
    /// Whether its client reads the reply as it comes; one who does not has nothing of it before its end.
    is_streamed: bool,
    hold: Option<Hold>,
    miner: Option<NodeId>,
    metered: Option<Metered>,
    claimed: Option<Usage>,
    events: u64,
    /// Milliseconds to the first content.
    first: Option<u64>,
    closed: Closed,
}

impl Entry {
    pub(super) fn new(
        layer: &LedgerLayer,
        entry: EntryId,
        opening: &Opening,
        price: Price,
        hold: Hold,
        closed: Closed,
    ) -> Self {
        layer.counts.opened();
        Self {
            ledger: layer.ledger.clone(),
            counts: layer.counts.clone(),
            entry,
            at: opening.at,
            began: Instant::now(),
            price,
            prompt: opening.prompt,
            most_completion: opening.most_completion,
            is_streamed: true,
            hold: Some(hold),
            miner: None,
            metered: None,
            claimed: None,
            events: 0,
            first: None,
            closed,
        }
    }

    /// The same that came at this moment, and whose client reads the reply as it comes or all at once.
    pub(super) fn began(mut self, began: Instant, is_streamed: bool) -> Self {
        (self.began, self.is_streamed) = (began, is_streamed);
        self
    }

    /// The reply began.
    pub(super) fn answered(&mut self, miner: Option<&NodeId>, metered: Metered) {
        self.miner = miner.cloned();
        self.metered = Some(metered);
    }

    fn outcome(&self, ending: &Ending) -> Outcome {
        match ending {
            Ending::Complete => Outcome::Complete,
            Ending::Broken(error) if self.first.is_some() => Outcome::Broken(code(error.code())),
            Ending::Broken(error) => Outcome::Failed(code(error.code())),
            // A layer below panicked: our fault, and not a client that left.
            Ending::Dropped if self.metered.is_none() && std::thread::panicking() => {
                Outcome::Failed("panicked".to_owned())
            }
            Ending::Dropped => Outcome::Left,
        }
    }

    /// What was handed on costs, and never more than was held.
    fn charge(&self, completion: TokenCount, ending: &Ending) -> Micros {
        let held = self.hold.as_ref().map_or(Micros::ZERO, Hold::amount);
        let handed_on = self.is_streamed || matches!(ending, Ending::Complete);
        if self.first.is_none() || !handed_on {
            return Micros::ZERO;
        }
        let completion = completion.tokens().min(self.most_completion);
        let charge = self.price.charge(self.prompt.tokens(), completion);
        charge.map_or(held, |charge| charge.min(held))
    }
}

impl Tap for Entry {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.events += 1;
        self.claimed = chunk.usage().or(self.claimed);
        if self.first.is_none() && chunk.has_content() {
            self.first = Some(millis(self.began.elapsed()));
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        let completion = self.metered.as_ref().map_or(TokenCount::exact(0), Metered::count);
        let total_ms = millis(self.began.elapsed());
        let closing = Closing {
            entry: self.entry,
            at: self.at.saturating_add(total_ms),
            miner: self.miner.take(),
            prompt: self.prompt,
            completion,
            claimed: self.claimed,
            events: self.events,
            charge: self.charge(completion, ending),
            first_ms: self.first,
            total_ms,
            outcome: self.outcome(ending),
        };
        let written = self.ledger.end(&closing);
        match &written {
            Ok(_) => self.counts.closed(&closing),
            Err(error) => self.counts.failed_to_close(self.entry, error),
        }
        // What is charged is not available any more, so that what was held may go.
        drop(self.hold.take());
        self.closed.set(written);
    }
}

fn code(code: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !code.is_empty() && code.len() <= CODE_BYTES && code.bytes().all(plain) {
        code.to_owned()
    } else {
        "other".to_owned()
    }
}
