//! Counting a reply while it passes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use synapse_core::{Bytes, Chunk, TokenCount, Tokenizer};

use super::prompt::estimate;

/// Text that is gathered before it is counted.
const SEGMENT_BYTES: usize = 2 * 1024;
/// Text of one chunk that is counted; only what a chunk holds beyond it is estimated, so that a poll stays short.
const CHUNK_BYTES: usize = 64 * 1024;
/// Replies and tool calls counted apart; further ones share the last place.
const LANES: usize = 64;

/// Counts the tokens of a reply, from the text of its chunks: what a miner says of its own tokens is not asked.
///
/// Texts of several replies (`n`), reasoning and tool calls are counted apart. Text is counted in segments of 2 KiB, so
/// that the work per chunk is bounded. A text of one segment is counted exactly as a whole; a longer one is too where the
/// tokenizer knows where it may be cut ([`Tokenizer::last_cut`]), and is approximate where segments end before any space,
/// since a cut may part what is one token. Of one chunk 64 KiB are counted, and the rest estimated at four bytes a token, as
/// all of it is without a tokenizer.
///
/// ```
/// use synapse_core::{Chunk, Delta};
/// use synapse_validator::token_count::CompletionMeter;
///
/// let mut meter = CompletionMeter::approximate();
/// meter.add(&Chunk::delta(Delta::text("Red, yellow ")));
/// meter.add(&Chunk::delta(Delta::text("and blue.")));
/// assert_eq!(meter.count().tokens(), 6);
/// ```
pub struct CompletionMeter {
    tokenizer: Option<Arc<dyn Tokenizer>>,
    lanes: BTreeMap<Lane, String>,
    counted: TokenCount,
    estimated_bytes: usize,
    /// Whether the tokenizer did not take some of it.
    refused: bool,
    flushed: bool,
}

/// What is one text: a reply, its reasoning, or one of its tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Text(u32),
    Reasoning(u32),
    ToolCall(u32, u32),
    Rest,
}

impl CompletionMeter {
    /// Counts by `tokenizer`, or by length.
    #[must_use]
    pub fn new(tokenizer: Option<Arc<dyn Tokenizer>>) -> Self {
        Self {
            tokenizer,
            lanes: BTreeMap::new(),
            counted: TokenCount::exact(0),
            estimated_bytes: 0,
            refused: false,
            flushed: false,
        }
    }

    /// Counts by length.
    #[must_use]
    pub fn approximate() -> Self {
        Self::new(None)
    }

    /// Whether a tokenizer counted all that came so far.
    pub(super) fn is_by_tokenizer(&self) -> bool {
        self.tokenizer.is_some() && self.estimated_bytes == 0 && !self.refused
    }

    /// Counts one more chunk. Control chunks and bytes of no dialect count nothing; an event that is not what its dialect
    /// allows reaches the client all the same, and is estimated by its length.
    pub fn add(&mut self, chunk: &Chunk) {
        let Ok(deltas) = chunk.deltas() else {
            self.estimated_bytes += chunk.wire().map_or(0, Bytes::len);
            return;
        };
        let mut budget = CHUNK_BYTES;
        for delta in deltas {
            self.push(Lane::Text(delta.index), &delta.text, &mut budget);
            self.push(Lane::Reasoning(delta.index), &delta.reasoning, &mut budget);
            for call in &delta.tool_calls {
                let lane = Lane::ToolCall(delta.index, call.index);
                if let Some(name) = &call.name {
                    self.push(lane, name, &mut budget);
                }
                self.push(lane, &call.arguments, &mut budget);
            }
        }
    }

    /// What was counted so far. More may follow, and is then counted apart, which makes the whole approximate.
    pub fn count(&mut self) -> TokenCount {
        self.flushed |= !self.lanes.is_empty();
        for text in std::mem::take(&mut self.lanes).into_values() {
            self.encode(&text);
        }
        if self.estimated_bytes == 0 {
            return self.counted;
        }
        self.counted.plus(estimate(self.estimated_bytes))
    }

    fn push(&mut self, lane: Lane, text: &str, budget: &mut usize) {
        if self.tokenizer.is_none() {
            self.estimated_bytes += text.len();
            return;
        }
        let (text, beyond) = text.split_at(text.floor_char_boundary(*budget));
        self.estimated_bytes += beyond.len();
        if text.is_empty() {
            return;
        }
        if self.flushed {
            self.counted = self.counted.plus(TokenCount::approximate(0));
        }
        *budget -= text.len();
        let lane = if self.lanes.len() < LANES || self.lanes.contains_key(&lane) {
            lane
        } else {
            Lane::Rest
        };
        let gathered = self.lanes.entry(lane).or_default();
        gathered.push_str(text);
        if gathered.len() <= SEGMENT_BYTES {
            return;
        }
        let mut rest = std::mem::take(gathered);
        while rest.len() > SEGMENT_BYTES {
            let (end, precise) = self.segment(&rest);
            let tail = rest.split_off(end);
            self.encode(&rest);
            if !precise {
                self.counted = self.counted.plus(TokenCount::approximate(0));
            }
            rest = tail;
        }
        self.lanes.insert(lane, rest);
    }

    /// Where the first segment of a text ends, and whether the cut there parts no token.
    fn segment(&self, text: &str) -> (usize, bool) {
        let first = &text[..text.floor_char_boundary(SEGMENT_BYTES)];
        match self
            .tokenizer
            .as_ref()
            .and_then(|tokenizer| tokenizer.last_cut(first))
        {
            Some(end) if end > 0 && first.is_char_boundary(end) => (end, true),
            _ => (cut(first), false),
        }
    }

    fn encode(&mut self, text: &str) {
        let Some(tokenizer) = &self.tokenizer else { return };
        let count = tokenizer.count(text).unwrap_or_else(|error| {
            tracing::debug!(tokenizer = tokenizer.name(), %error, "a reply is estimated");
            self.refused = true;
            estimate(text.len())
        });
        self.counted = self.counted.plus(count);
    }
}

/// Before the last space, or else the end.
fn cut(text: &str) -> usize {
    match text.rfind(char::is_whitespace) {
        Some(space) if space > 0 => space,
        _ => text.len(),
    }
}

impl fmt::Debug for CompletionMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionMeter")
            .field(
                "tokenizer",
                &self
                    .tokenizer
                    .as_ref()
                    .map(|tokenizer| tokenizer.name().to_owned()),
            )
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}
