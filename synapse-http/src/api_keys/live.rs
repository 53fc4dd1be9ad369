//! The keys of a directory as they are now.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use synapse_core::{ApiKey, Caller, Error};
use tokio::sync::Mutex;

use super::{
    ModelScope,
    file::{Keys, Snapshot},
    info::ApiKeyInfo,
    refusal,
    secret::KeyDigest,
};

/// The keys of a directory, read again when its files changed. Whether they did is looked at for each request, which takes
/// two calls of `stat`.
pub(super) struct LiveKeys {
    directory: PathBuf,
    now: RwLock<Loaded>,
    /// Whoever reads the files; the others wait rather than believe what was.
    reading: Arc<Mutex<()>>,
}

struct Loaded {
    /// Of what was read; none where that failed for reasons that may pass.
    snapshot: Option<Snapshot>,
    keys: Result<Arc<Table>, Error>,
    /// All that were ever seen to be revoked.
    revoked: Arc<HashSet<KeyDigest>>,
}

/// Who is who.
pub(super) struct Table {
    by_digest: HashMap<KeyDigest, Holder>,
    revoked: Arc<HashSet<KeyDigest>>,
}

/// What a key says of a request.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) caller: Caller,
    pub(super) key: ApiKey,
    pub(super) models: ModelScope,
    expires: Option<SystemTime>,
}

impl LiveKeys {
    /// # Errors
    /// `api_keys_unreadable`, `api_keys_malformed`.
    pub(super) fn open(directory: PathBuf) -> Result<Self, Error> {
        let loaded = load(&directory, Arc::default());
        if let Err(error) = &loaded.keys {
            return Err(error.clone());
        }
        Ok(Self {
            directory,
            now: RwLock::new(loaded),
            reading: Arc::default(),
        })
    }

    pub(super) fn count(&self) -> usize {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.keys.as_ref().map_or(0, |table| table.by_digest.len())
    }

    /// The keys as the files have them at this moment.
    ///
    /// # Errors
    /// What is wrong with the files: then nobody is let in.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Table>, Error> {
        if let Some(known) = self.known() {
            return known;
        }
        let reading = self.reading.clone().lock_owned().await;
        if let Some(known) = self.known() {
            return known;
        }
        let this = self.clone();
        // It goes on although whoever asked may leave, and is the only one meanwhile.
        let read = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            this.reload()
        })
        .await;
        read.unwrap_or_else(|failed| {
            Err(Error::internal("api_keys_unreadable", "reading the API keys failed").with_source(failed))
        })
    }

    /// What was read, where the files are what they were.
    fn known(&self) -> Option<Result<Arc<Table>, Error>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = now.snapshot.as_ref()?;
        snapshot.is_current(&self.directory).then(|| now.keys.clone())
    }

    fn reload(&self) -> Result<Arc<Table>, Error> {
        let (revoked, failed) = {
            let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
            (now.revoked.clone(), now.keys.is_err())
        };
        let loaded = load(&self.directory, revoked);
        match &loaded.keys {
            Ok(table) => tracing::info!(keys = table.by_digest.len(), "the API keys were read again"),
            Err(error) if !failed => {
                tracing::error!(%error, "nobody is let in: the API keys cannot be read");
            }
            Err(_) => {}
        }
        let keys = loaded.keys.clone();
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        keys
    }
}

impl fmt::Debug for LiveKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKeys")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Reads the files. What is in `revoked` already stays there.
fn load(directory: &Path, revoked: Arc<HashSet<KeyDigest>>) -> Loaded {
    let snapshot = match Snapshot::open(directory) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return Loaded {
                snapshot: None,
                keys: Err(error),
                revoked,
            };
        }
    };
    match snapshot.read(directory) {
        Ok(keys) => {
            let table = Table::new(keys, &revoked);
            Loaded {
                snapshot: Some(snapshot),
                revoked: table.revoked.clone(),
                keys: Ok(Arc::new(table)),
            }
        }
        // The same bytes would say the same; whether they can be read may change without them.
        Err(error) => Loaded {
            snapshot: (error.code() == "api_keys_malformed").then_some(snapshot),
            keys: Err(error),
            revoked,
        },
    }
}

impl Table {
    fn new(Keys { records, revoked }: Keys, before: &HashSet<KeyDigest>) -> Self {
        let holder = |key: ApiKeyInfo| Holder {
            caller: Caller::new(key.caller.clone()),
            key: ApiKey::new(key.id.clone(), key.allowance.clone()),
            expires: key.expires(),
            models: key.models,
        };
        Self {
            by_digest: records
                .into_iter()
                .map(|record| (record.sha256, holder(record.key)))
                .collect(),
            revoked: Arc::new(revoked.into_keys().chain(before.iter().copied()).collect()),
        }
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// `revoked_api_key`, `invalid_api_key`, `expired_api_key`.
    pub(super) fn holder(&self, key: &str, now: SystemTime) -> Result<&Holder, Error> {
        let digest = KeyDigest::of(key);
        if self.revoked.contains(&digest) {
            return Err(refusal::revoked());
        }
        let holder = self.by_digest.get(&digest).ok_or_else(refusal::invalid)?;
        match holder.expires {
            Some(at) if at <= now => Err(refusal::expired(holder.key.id())),
            _ => Ok(holder),
        }
    }
}
