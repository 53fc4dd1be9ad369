//! What loads models.

use synapse_core::{Error, async_trait};

use crate::ollama::{KeepAlive, Models};

/// Loads models into memory and out of it.
#[async_trait]
pub trait Loader: Send + Sync + 'static {
    /// Which are loaded now, whoever loaded them.
    ///
    /// # Errors
    /// Where that cannot be told.
    async fn loaded(&self) -> Result<Vec<Resident>, Error>;

    /// Loads a model, and waits until it can be asked.
    ///
    /// # Errors
    /// Why it is not loaded.
    async fn load(&self, model: &str) -> Result<(), Error>;

    /// Takes a model out of memory, and waits until it is; fine where it is not loaded.
    ///
    /// # Errors
    /// Why it is still loaded.
    async fn unload(&self, model: &str) -> Result<(), Error>;
}

/// A model that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Its name, as requests have it.
    pub model: String,
    /// What it takes of the memory that is shared, in bytes.
    pub bytes: u64,
}

/// Ollama's own loading. What is loaded here stays until it is unloaded, or Ollama needs the room.
#[async_trait]
impl Loader for Models {
    async fn loaded(&self) -> Result<Vec<Resident>, Error> {
        let loaded = Self::loaded(self).await?.into_iter();
        Ok(loaded
            .map(|model| Resident {
                model: model.name,
                bytes: model.size,
            })
            .collect())
    }

    async fn load(&self, model: &str) -> Result<(), Error> {
        Self::load(self, model, KeepAlive::Forever).await
    }

    async fn unload(&self, model: &str) -> Result<(), Error> {
        Self::unload(self, model).await
    }
}
