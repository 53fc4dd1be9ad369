//! The chain on disk: one redb file, one transaction a block.
//!
//! A block and the entries of the state that it changes are written together, and are there after a crash as a whole or
//! not at all. The directory is locked for as long as the store is open.

mod fault;
mod file;

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, DataDir, Error};

pub(super) use self::fault::Faults;
#[cfg(feature = "failpoints")]
pub use self::fault::StoreFault;
use self::file::broken;
use super::{
    block::Block,
    state::{Change, State},
};
use crate::{ChainId, TxHash};

const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const GENESIS: &str = "genesis";

/// The format that this version writes. One that is newer is refused; there is none that is older.
const FORMAT: u32 = 1;

/// What a chain begins with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Genesis {
    pub(super) format: u32,
    pub(super) chain: ChainId,
    /// In milliseconds since 1970.
    pub(super) time: u64,
}

impl Genesis {
    pub(super) fn new(chain: ChainId, time: u64) -> Self {
        Self {
            format: FORMAT,
            chain,
            time,
        }
    }

    /// What the first block names as its parent.
    pub(super) fn hash(&self) -> TxHash {
        TxHash::of(&serde_json::to_vec(self).expect("a genesis has string keys only"))
    }
}

/// Where the chain stands on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tip {
    pub(super) height: BlockNumber,
    pub(super) time: u64,
    pub(super) hash: TxHash,
}

/// The chain on disk.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    genesis: Genesis,
    faults: Faults,
    /// Dropped after the database is closed.
    _directory: DataDir,
}

impl Store {
    /// Opens the chain in a directory, or begins `genesis` there.
    pub(super) fn open(
        directory: &Path,
        genesis: impl FnOnce() -> Result<Genesis, Error>,
        faults: Faults,
    ) -> Result<Self, Error> {
        let directory = DataDir::open(directory)?;
        let path = directory.path().join("chain.redb");
        let (database, genesis) = match file::length(&path)? {
            // A file that is there held a chain: what is empty or says nothing of one is damage, not a beginning.
            Some(0) => return Err(corrupt("its file is empty")),
            Some(_) => {
                let database = file::open(&path, &faults)?;
                let genesis = read_genesis(&database)?;
                (
                    database,
                    genesis.ok_or_else(|| corrupt("it does not say which chain it is"))?,
                )
            }
            None => {
                let aside = directory.path().join("chain.redb.new");
                file::remove(&aside)?;
                let database = file::open(&aside, &faults)?;
                let genesis = begin(&database, genesis()?)?;
                file::rename(&aside, &path)?;
                (database, genesis)
            }
        };
        Ok(Self {
            database,
            genesis,
            faults,
            _directory: directory,
        })
    }

    pub(super) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The newest block; of a chain without one, its genesis.
    pub(super) fn tip(&self) -> Result<Tip, Error> {
        let blocks = self.read(BLOCKS)?;
        let Some((height, bytes)) = blocks.last().map_err(broken)? else {
            return Ok(Tip {
                height: BlockNumber(0),
                time: self.genesis.time,
                hash: self.genesis.hash(),
            });
        };
        let block = readable(height.value(), bytes.value())?;
        Ok(Tip {
            height: block.height,
            time: block.time,
            hash: TxHash::of(bytes.value()),
        })
    }

    /// The whole state.
    pub(super) fn state(&self) -> Result<State, Error> {
        let mut state = State::default();
        self.each_entry(|key, value| {
            state
                .load(key, value)
                .map_err(|error| corrupt("an entry of the state cannot be read").with_source(error))
        })?;
        state.commit();
        if !state.adds_up() {
            return Err(corrupt(
                "balances, stakes and what was burned are not what was issued",
            ));
        }
        Ok(state)
    }

    /// Each stored entry of the state, sorted by its stored name.
    pub(super) fn each_entry(
        &self,
        mut with: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for entry in self.read(STATE)?.iter().map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            with(key.value(), value.value())?;
        }
        Ok(())
    }

    /// Each block from `first` on, with the digest of its bytes.
    pub(super) fn each_block(
        &self,
        first: BlockNumber,
        mut with: impl FnMut(Block, TxHash) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for entry in self.read(BLOCKS)?.range(first.0..).map_err(broken)? {
            let (height, bytes) = entry.map_err(broken)?;
            with(
                readable(height.value(), bytes.value())?,
                TxHash::of(bytes.value()),
            )?;
        }
        Ok(())
    }

    /// A block as it was written.
    #[cfg(feature = "remote")]
    pub(super) fn block(&self, height: BlockNumber) -> Result<Option<Vec<u8>>, Error> {
        let block = self.read(BLOCKS)?.get(height.0).map_err(broken)?;
        Ok(block.map(|bytes| bytes.value().to_vec()))
    }

    /// Writes a block and what it changed, and returns once both are on disk.
    pub(super) fn commit(&self, height: BlockNumber, block: &[u8], changes: &[Change]) -> Result<(), Error> {
        self.faults.before_commit();
        self.write(height, block, changes).map_err(|error| {
            Error::unavailable(
                "commit_failed",
                format!("block {height} could not be stored, and whether its calls took effect is known when the chain is opened again"),
            )
            .with_hint(error.hint().unwrap_or("see the cause").to_owned())
            .with_source(error)
        })
    }

    fn write(&self, height: BlockNumber, block: &[u8], changes: &[Change]) -> Result<(), Error> {
        let mut transaction = self.database.begin_write().map_err(broken)?;
        let durability = if self.faults.skips_fsync() {
            Durability::None
        } else {
            Durability::Immediate
        };
        transaction.set_durability(durability).map_err(broken)?;
        {
            let mut blocks = transaction.open_table(BLOCKS).map_err(broken)?;
            blocks.insert(height.0, block).map_err(broken)?;
            let mut state = transaction.open_table(STATE).map_err(broken)?;
            for (key, value) in changes {
                match value {
                    Some(value) => state.insert(&**key, &**value),
                    None => state.remove(&**key),
                }
                .map_err(broken)?;
            }
        }
        transaction.commit().map_err(broken)
    }

    fn read<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<redb::ReadOnlyTable<K, V>, Error> {
        let transaction = self.database.begin_read().map_err(broken)?;
        transaction.open_table(table).map_err(broken)
    }
}

fn read_genesis(database: &Database) -> Result<Option<Genesis>, Error> {
    let transaction = database.begin_read().map_err(broken)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(broken(error)),
    };
    let Some(bytes) = meta.get(GENESIS).map_err(broken)? else {
        return Err(corrupt("it does not say which chain it is"));
    };
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let unreadable = |error| corrupt("it does not say which chain it is").with_source(error);
    let Format { format } = serde_json::from_slice(bytes.value()).map_err(unreadable)?;
    if format != FORMAT {
        return Err(Error::unsupported(
            "store_too_new",
            format!("the store has the format {format}, and this version reads {FORMAT}"),
        )
        .with_hint("use the version that wrote it, or a newer one"));
    }
    serde_json::from_slice(bytes.value())
        .map(Some)
        .map_err(unreadable)
}

fn begin(database: &Database, genesis: Genesis) -> Result<Genesis, Error> {
    let transaction = database.begin_write().map_err(broken)?;
    {
        let bytes = serde_json::to_vec(&genesis).expect("a genesis has string keys only");
        let mut meta = transaction.open_table(META).map_err(broken)?;
        meta.insert(GENESIS, &*bytes).map_err(broken)?;
        transaction.open_table(BLOCKS).map_err(broken)?;
        transaction.open_table(STATE).map_err(broken)?;
    }
    transaction.commit().map_err(broken)?;
    Ok(genesis)
}

fn readable(height: u64, bytes: &[u8]) -> Result<Block, Error> {
    match Block::from_bytes(bytes) {
        Ok(block) if block.height.0 == height => Ok(block),
        Ok(block) => Err(corrupt(&format!("block {} is stored as {height}", block.height))),
        Err(error) => Err(corrupt(&format!("block {height} cannot be read")).with_source(error)),
    }
}

pub(super) fn corrupt(why: &str) -> Error {
    Error::broken("corrupt_store", format!("the chain's store is damaged: {why}"))
        .with_retry(synapse_core::Retry::Never)
        .with_hint("restore chain.redb from a copy; it was left as it is")
}
