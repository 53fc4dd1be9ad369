//! Making, listing and revoking keys.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use synapse_core::{DataDir, Error, KeyId, SystemClock, WallClock};

use super::{
    file::{KEYS, Keys, LONGEST, Record, Revoked, Snapshot},
    info::{ApiKeyInfo, NewApiKey, millis},
    refusal,
    secret::ApiKeySecret,
};
use crate::digest::hex;

/// A change takes a fraction of a second, so that dozens may wait for each other.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// A directory of API keys, which its operator changes.
///
/// One change takes place at a time, whichever processes make them; reading goes on meanwhile, and finds what was there
/// before or what is there after. Changes wait for the disk: what returned outlives a kill and a power cut. All keys are
/// written at each change, so that a directory is for some 50,000 of them at most, 32 MiB.
#[derive(Debug, Clone)]
pub struct ApiKeyStore {
    directory: PathBuf,
    clock: Arc<dyn WallClock>,
}

impl ApiKeyStore {
    /// Opens the directory; makes it, for its owner alone and without keys, where there is none.
    ///
    /// # Errors
    /// `data_dir_not_a_directory`, `data_dir_unwritable`, `data_dir_full`; `api_keys_unreadable` and `api_keys_malformed` where
    /// its files are not ours, or others may write to them.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self {
            directory: directory.into(),
            clock: Arc::new(SystemClock),
        };
        if !store.has_keys() {
            store.change(|_, _| Ok(()))?;
        }
        store.read()?;
        Ok(store)
    }

    /// Tells the time by another clock. The machine's, unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a key. What is returned beside it is the key itself, which is not kept: this is when its holder is told.
    ///
    /// # Errors
    /// `invalid_caller`, `invalid_model`, `invalid_note`, `invalid_expiry`, `invalid_allowance`; `too_many_api_keys`;
    /// `api_keys_busy` where another process holds the directory for 10 s; and what [`open`](Self::open) says of the files.
    pub fn create(&self, new: NewApiKey) -> Result<(ApiKeyInfo, ApiKeySecret), Error> {
        let now = self.clock.now();
        new.check(now)?;
        let secret = ApiKeySecret::generate()?;
        let key = self.change(|keys, data| {
            let key = ApiKeyInfo {
                id: free_id(keys)?,
                caller: new.caller.into(),
                models: new.models,
                allowance: new.allowance,
                created_ms: millis(now),
                expires_ms: new.expires.map(millis),
                revoked_ms: None,
                note: new.note,
            };
            keys.records.push(Record {
                sha256: secret.digest(),
                key: key.clone(),
            });
            // Half of the room is for what is written when keys are revoked.
            keys.write_records(data, LONGEST / 2)?;
            Ok(key)
        })?;
        Ok((key, secret))
    }

    /// Revokes a key, at once and for good. One that was revoked before stays so, with the time of then.
    ///
    /// # Errors
    /// `unknown_api_key`, `api_keys_busy`, and what [`open`](Self::open) says of the files. Where the disk failed, it may be
    /// revoked or not: try again.
    pub fn revoke(&self, id: &KeyId) -> Result<ApiKeyInfo, Error> {
        let at_ms = millis(self.clock.now());
        self.change(|keys, data| {
            let found = keys.records.iter_mut().find(|record| record.key.id == *id);
            let Record { sha256, key } = found.ok_or_else(|| refusal::unknown(id))?;
            let at_ms = *key.revoked_ms.get_or_insert(at_ms);
            let (key, id) = (key.clone(), id.clone());
            keys.revoked.insert(*sha256, Revoked { id, at_ms });
            // It counts from here on, whatever becomes of the rest.
            keys.write_revoked(data)?;
            keys.write_records(data, LONGEST)?;
            Ok(key)
        })
    }

    /// All keys, in the order in which they were made, those that expired or were revoked too.
    ///
    /// # Errors
    /// `api_keys_unreadable`, `api_keys_malformed`.
    pub fn list(&self) -> Result<Vec<ApiKeyInfo>, Error> {
        Ok(self
            .read()?
            .records
            .into_iter()
            .map(|record| record.key)
            .collect())
    }

    /// One key.
    ///
    /// # Errors
    /// `unknown_api_key`, and those of [`list`](Self::list).
    pub fn show(&self, id: &KeyId) -> Result<ApiKeyInfo, Error> {
        let found = self.list()?.into_iter().find(|key| key.id == *id);
        found.ok_or_else(|| refusal::unknown(id))
    }

    fn has_keys(&self) -> bool {
        self.directory.join(KEYS).exists()
    }

    fn read(&self) -> Result<Keys, Error> {
        Snapshot::open(&self.directory)?.read(&self.directory)
    }

    /// Changes the keys, alone. A directory without any gets its file first.
    fn change<T>(&self, change: impl FnOnce(&mut Keys, &DataDir) -> Result<T, Error>) -> Result<T, Error> {
        let data = self.lock()?;
        if !self.has_keys() {
            Keys::default().write_records(&data, LONGEST)?;
        }
        change(&mut self.read()?, &data)
    }

    fn lock(&self) -> Result<DataDir, Error> {
        let mut tries = 0;
        loop {
            match DataDir::open(&self.directory) {
                Err(error) if error.code() == "data_dir_locked" && tries < TRIES => {
                    tries += 1;
                    thread::sleep(PAUSE);
                }
                Err(error) if error.code() == "data_dir_locked" => {
                    return Err(Error::unavailable(
                        "api_keys_busy",
                        format!(
                            "the API keys in {} are being changed by another process",
                            self.directory.display()
                        ),
                    )
                    .with_hint("try again once that process is done")
                    .with_source(error));
                }
                opened => return opened,
            }
        }
    }
}

/// `key-` and 16 hex digits that no key has or had.
fn free_id(keys: &Keys) -> Result<KeyId, Error> {
    loop {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Error::unavailable(
                "no_randomness",
                "an API key could not be made: the system gives no random bytes",
            )
            .with_source(error)
        })?;
        let id = KeyId::from(format!("key-{}", hex(&random)));
        let taken = keys.records.iter().any(|record| record.key.id == id)
            || keys.revoked.values().any(|revoked| revoked.id == id);
        if !taken {
            return Ok(id);
        }
    }
}
