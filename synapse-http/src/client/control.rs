//! What a reply that is not streamed says in its head, and not to the client.

use std::collections::VecDeque;

use http::{HeaderMap, HeaderName};
use synapse_core::Chunk;

use crate::headers::{DEADLINE_MS, MINER, QUEUE_POSITION, QUEUE_WAIT_MS};

/// What says something of its own.
const NO_CHUNKS: [HeaderName; 4] = [MINER, DEADLINE_MS, QUEUE_WAIT_MS, QUEUE_POSITION];
const PREFIX: &str = "x-synapse-";
/// How many are taken, and how long each may be, in bytes: more is left out.
const MOST: usize = 16;
const LONGEST: usize = 8 * 1024;

/// The [control chunks](Chunk::control) that our router wrote as headers `x-synapse-<name>`.
pub(super) fn of(headers: &HeaderMap) -> VecDeque<Chunk> {
    headers
        .iter()
        .filter(|(name, _)| !NO_CHUNKS.contains(name))
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix(PREFIX)?, value)))
        .filter(|(name, value)| !name.is_empty() && value.len() <= LONGEST)
        .take(MOST)
        .map(|(name, value)| Chunk::control(name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}
