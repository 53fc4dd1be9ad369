//! The epochs at hand, and those on the disk.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synapse_core::{DataDir, EpochId, Error, NodeId, SubnetId};

use super::{EpochRecord, VERSION, files, header::Header};

/// Epochs that are kept, where nothing else is said.
const KEEP: usize = 1000;
/// Records that are kept at hand, of those that are on the disk.
const AT_HAND: usize = 4;
/// Records that are kept at hand beside those, as somebody read them.
const READ: usize = 3;
/// Records that wait for a disk that can be written. Each may be large.
const MOST_UNSAVED: usize = 8;

/// The epochs at hand, and those on the disk. Nobody who finds at hand what he looks for waits for the disk.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: Option<PathBuf>,
    /// No other process has the epochs while this lives.
    lock: Mutex<Option<DataDir>>,
    /// Held for moments only, and never while the disk works.
    at_hand: Mutex<AtHand>,
    /// Whose turn it is to write.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct AtHand {
    header: Option<Header>,
    keep: usize,
    known: BTreeSet<EpochId>,
    records: BTreeMap<EpochId, Arc<EpochRecord>>,
    read: VecDeque<Arc<EpochRecord>>,
    /// What could not be written yet.
    unsaved: BTreeSet<EpochId>,
    set_aside: Vec<(EpochId, String)>,
    /// How many records came: what was read before the last did may be old.
    taken: u64,
    scored: Newest,
    weighed: Newest,
}

/// The newest epoch of a kind.
#[derive(Debug, Default)]
struct Newest {
    /// Of those that were stored, once that was asked.
    stored: Option<Option<Arc<EpochRecord>>>,
    /// Of those that came.
    taken: Option<Arc<EpochRecord>>,
}

impl Shelf {
    /// # Errors
    /// As [`State::open`](super::State::open).
    pub(super) fn open(dir: PathBuf) -> Result<Self, Error> {
        let lock = DataDir::open(files::epochs(&dir))?;
        let header = Header::read(&dir)?;
        let known = files::list(&dir)?;
        files::sweep(&dir)?;
        let shelf = Self {
            dir: Some(dir),
            lock: Mutex::new(Some(lock)),
            ..Self::in_memory()
        };
        shelf.hand().known = known;
        if let Some(header) = header {
            let header = shelf.migrated(header)?;
            shelf.hand().header = Some(header);
        }
        Ok(shelf)
    }

    pub(super) fn in_memory() -> Self {
        Self {
            dir: None,
            lock: Mutex::default(),
            at_hand: Mutex::new(AtHand {
                header: None,
                keep: KEEP,
                known: BTreeSet::new(),
                records: BTreeMap::new(),
                read: VecDeque::new(),
                unsaved: BTreeSet::new(),
                set_aside: Vec::new(),
                taken: 0,
                scored: Newest::default(),
                weighed: Newest::default(),
            }),
            turn: Mutex::default(),
        }
    }

    pub(super) fn is_on_disk(&self) -> bool {
        self.dir.is_some()
    }

    pub(super) fn keep(&self, epochs: usize) {
        self.hand().keep = epochs;
    }

    pub(super) fn epochs(&self) -> Vec<EpochId> {
        self.hand().known.iter().copied().collect()
    }

    /// # Errors
    /// As [`State::claim`](super::State::claim).
    pub(super) fn claim(&self, subnet: SubnetId, validator: &NodeId) -> Result<(), Error> {
        if let Some(header) = &self.hand().header {
            return header.check(subnet, validator);
        }
        // Where the header was lost, the epochs still say whose they are.
        if let Some(record) = self.newest(|_| true)? {
            Header::new(record.evidence.subnet, record.evidence.validator.clone())
                .check(subnet, validator)?;
        }
        let header = Header::new(subnet, validator.clone());
        if let Some(dir) = &self.dir {
            header.write(dir)?;
        }
        self.hand().header = Some(header);
        Ok(())
    }

    /// What is in memory of an epoch.
    pub(super) fn at_hand(&self, epoch: EpochId) -> Option<Arc<EpochRecord>> {
        self.hand().get(epoch)
    }

    /// # Errors
    /// As [`State::get`](super::State::get).
    pub(super) fn get(&self, epoch: EpochId) -> Result<Option<Arc<EpochRecord>>, Error> {
        let before = {
            let hand = self.hand();
            if let Some(record) = hand.get(epoch) {
                return Ok(Some(record));
            }
            if !hand.known.contains(&epoch) {
                return Ok(None);
            }
            hand.taken
        };
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        match files::read(dir, epoch) {
            Ok(record) => {
                let record = record.map(Arc::new);
                if let Some(record) = &record {
                    self.hand().remember(record, before);
                }
                Ok(record)
            }
            Err(error) if error.code() == files::CORRUPT => {
                self.hand().set_aside(dir, epoch, before, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The newest epoch of which `wanted` is true. May read many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn newest(
        &self,
        wanted: impl Fn(&EpochRecord) -> bool,
    ) -> Result<Option<Arc<EpochRecord>>, Error> {
        for epoch in self.epochs().into_iter().rev() {
            if let Some(record) = self.get(epoch)?.filter(|record| wanted(record)) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The newest epoch that a policy scored.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn scored(&self) -> Result<Option<Arc<EpochRecord>>, Error> {
        self.looked_up(|hand| &mut hand.scored, EpochRecord::is_scored)
    }

    /// The newest epoch whose weights were made, or the one whose weights it has where its policy failed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn weighed(&self) -> Result<Option<Arc<EpochRecord>>, Error> {
        let last = self.looked_up(|hand| &mut hand.weighed, |record| record.intent.is_some())?;
        // Not one after the other: a policy may fail for a thousand epochs.
        match last.as_ref().and_then(|last| last.intent.as_ref()?.from_epoch) {
            Some(from) => Ok(self.get(from)?.or(last)),
            None => Ok(last),
        }
    }

    fn looked_up(
        &self,
        kind: impl Fn(&mut AtHand) -> &mut Newest,
        is_one: impl Fn(&EpochRecord) -> bool,
    ) -> Result<Option<Arc<EpochRecord>>, Error> {
        if kind(&mut self.hand()).stored.is_none() {
            let stored = self.newest(is_one)?;
            kind(&mut self.hand()).stored = Some(stored);
        }
        Ok(kind(&mut self.hand()).get())
    }

    /// # Errors
    /// As [`State::put`](super::State::put).
    pub(super) fn put(&self, record: EpochRecord) -> Result<(), Error> {
        let _turn = self.turn();
        if let Some(before) = self.get(record.epoch())? {
            record.may_replace(&before)?;
        }
        self.hand().take(Arc::new(record));
        self.write()
    }

    /// # Errors
    /// As [`State::flush`](super::State::flush).
    pub(super) fn flush(&self) -> Result<(), Error> {
        let _turn = self.turn();
        self.write()
    }

    /// The epochs that were set aside since this was last asked, and why.
    pub(super) fn set_aside(&self) -> Vec<(EpochId, String)> {
        std::mem::take(&mut self.hand().set_aside)
    }

    /// Writes what is not on the disk, for whoever has the turn.
    fn write(&self) -> Result<(), Error> {
        self.make_again()?;
        loop {
            let next = self.hand().unsaved();
            let Some((epoch, record)) = next else { break };
            if let (Some(dir), Some(record)) = (&self.dir, record) {
                files::write(dir, &record)?;
            }
            self.hand().unsaved.remove(&epoch);
        }
        let too_old = self.hand().trim(self.is_on_disk());
        match &self.dir {
            Some(dir) => too_old
                .into_iter()
                .try_for_each(|epoch| files::remove(dir, epoch)),
            None => Ok(()),
        }
    }

    /// Makes the epochs' directory again where it is gone, with what is at hand of what was there.
    fn make_again(&self) -> Result<(), Error> {
        let Some((dir, epochs)) = self.dir.as_ref().map(|dir| (dir, files::epochs(dir))) else {
            return Ok(());
        };
        match fs::metadata(&epochs) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ => return Ok(()),
        }
        tracing::warn!(dir = %epochs.display(), "the epochs' directory is gone, and is made again");
        let lock = DataDir::open(epochs)?;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        let header = {
            let mut hand = self.hand();
            let at_hand: Vec<_> = hand.records.keys().copied().collect();
            hand.unsaved.extend(at_hand);
            hand.header.clone()
        };
        header.map_or(Ok(()), |header| header.write(dir))
    }

    /// Rewrites what an older version wrote. Each file says its own version, so where this is cut it begins again.
    fn migrated(&self, header: Header) -> Result<Header, Error> {
        let Some(dir) = self.dir.as_ref().filter(|_| header.version != VERSION) else {
            return Ok(header);
        };
        for epoch in self.epochs() {
            if let Some(record) = self.get(epoch)? {
                files::write(dir, &record)?;
            }
        }
        let header = header.renewed();
        header.write(dir)?;
        Ok(header)
    }

    fn hand(&self) -> MutexGuard<'_, AtHand> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AtHand {
    fn get(&self, epoch: EpochId) -> Option<Arc<EpochRecord>> {
        let mut read = self.read.iter();
        let record = self.records.get(&epoch);
        record
            .or_else(|| read.find(|record| record.epoch() == epoch))
            .cloned()
    }

    fn take(&mut self, record: Arc<EpochRecord>) {
        let epoch = record.epoch();
        if record.is_scored() {
            self.scored.take(&record);
        }
        if record.intent.is_some() {
            self.weighed.take(&record);
        }
        self.read.retain(|read| read.epoch() != epoch);
        self.taken = self.taken.wrapping_add(1);
        self.known.insert(epoch);
        self.records.insert(epoch, record);
        self.unsaved.insert(epoch);
        // A disk that fails for so long takes more than the oldest of these along.
        while self.unsaved.len() > MOST_UNSAVED {
            let oldest = self.unsaved.pop_first();
            oldest.and_then(|epoch| self.records.remove(&epoch));
        }
    }

    fn unsaved(&self) -> Option<(EpochId, Option<Arc<EpochRecord>>)> {
        let epoch = *self.unsaved.first()?;
        Some((epoch, self.records.get(&epoch).cloned()))
    }

    /// Keeps at hand what was read when so many had come.
    fn remember(&mut self, record: &Arc<EpochRecord>, taken: u64) {
        if self.taken == taken && self.get(record.epoch()).is_none() {
            self.read.push_back(record.clone());
            self.read.drain(..self.read.len().saturating_sub(READ));
        }
    }

    /// Keeps a file that could not be read when so many had come, under another name.
    fn set_aside(&mut self, dir: &Path, epoch: EpochId, taken: u64, error: &Error) {
        // Another came in its place meanwhile, or somebody else found it.
        if self.taken != taken || !self.known.remove(&epoch) {
            return;
        }
        let mut why = error.message().to_owned();
        if let Err(error) = files::set_aside(dir, epoch) {
            why = format!("{why}, and it could not be set aside: {error}");
        }
        self.set_aside.push((epoch, why));
    }

    /// Forgets the oldest epochs, and of those that are on the disk what need not be at hand. Says which are too old.
    fn trim(&mut self, is_on_disk: bool) -> Vec<EpochId> {
        let mut too_old = Vec::new();
        while self.known.len() > self.keep {
            too_old.extend(self.known.pop_first());
        }
        self.read.retain(|record| !too_old.contains(&record.epoch()));
        for epoch in &too_old {
            self.records.remove(epoch);
        }
        while is_on_disk && self.records.len() > AT_HAND {
            self.records.pop_first();
        }
        too_old
    }
}

impl Newest {
    fn get(&self) -> Option<Arc<EpochRecord>> {
        let stored = self.stored.iter().flatten();
        let newest = stored.chain(&self.taken).max_by_key(|record| record.epoch());
        newest.cloned()
    }

    fn take(&mut self, record: &Arc<EpochRecord>) {
        let is_newer = |taken: &Arc<EpochRecord>| taken.epoch() <= record.epoch();
        if self.taken.as_ref().is_none_or(is_newer) {
            self.taken = Some(record.clone());
        }
    }
}
