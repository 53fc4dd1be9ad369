//! What time a block says it is.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use synapse_core::{Error, WallClock};

use crate::{ChainId, Head};

/// When a seeded chain begins: 2020-01-01, in milliseconds since 1970.
const SEEDED_GENESIS: u64 = 1_577_836_800_000;

/// Tells a block's time.
#[derive(Debug)]
pub(super) enum BlockClock {
    /// The machine's, which never goes back.
    Wall(Arc<dyn WallClock>),
    /// So many milliseconds a block since genesis, whatever the machine says.
    Seeded(u64),
}

impl BlockClock {
    pub(super) fn seeded(block_time: Option<Duration>) -> Self {
        let interval = block_time.unwrap_or(Duration::from_secs(1));
        Self::Seeded(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn genesis(&self) -> u64 {
        match self {
            Self::Wall(clock) => millis(&**clock),
            Self::Seeded(_) => SEEDED_GENESIS,
        }
    }

    /// The time of the block after `head`.
    pub(super) fn after(&self, head: Head) -> u64 {
        match self {
            Self::Wall(clock) => millis(&**clock).max(head.time),
            Self::Seeded(interval) => head.time.saturating_add(*interval),
        }
    }
}

fn millis(clock: &dyn WallClock) -> u64 {
    let since = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A new chain's name: of its seed, or one that no other chain has.
pub(super) fn name(seed: Option<u64>) -> Result<ChainId, Error> {
    let mut random = [0; 8];
    match seed {
        Some(seed) => random.copy_from_slice(&Sha256::digest(format!("synapse-chain/1\n{seed}"))[..8]),
        None => getrandom::fill(&mut random).map_err(|error| {
            Error::internal(
                "no_randomness",
                "the system gave no randomness for the chain's name",
            )
            .with_source(error)
        })?,
    }
    Ok(ChainId::new(format!("local-{:016x}", u64::from_be_bytes(random))))
}
