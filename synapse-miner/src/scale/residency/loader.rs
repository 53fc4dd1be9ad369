//! What loads models.

use std::time::Duration;

use synapse_core::{Error, async_trait};
use tokio::time::{Instant, sleep};

use crate::ollama::{KeepAlive, Models, OllamaModule};

/// How long a model that was told to leave may stay, and how often it is looked whether it does.
const LEAVES_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

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

/// Ollama's own loading. What is loaded here stays until it is unloaded, or Ollama needs the room; its context is the one
/// that the model, or Ollama, says.
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
        Self::unload(self, model).await?;
        // Ollama says so first, and gives the memory back then.
        let told = Instant::now();
        while self.is_loaded(model).await? {
            if told.elapsed() > LEAVES_WITHIN {
                let message = format!(
                    "Ollama has the model {model:?} in memory still, {LEAVES_WITHIN:?} after it was told to unload it"
                );
                return Err(Error::unavailable("model_stays_loaded", message)
                    .with_hint("see whether somebody asks Ollama for it past this miner"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// The loading of an Ollama whose module answers: with the context that the module's requests ask for, since Ollama loads a
/// model anew for another. A module with a [`keep_alive`](crate::ollama::Builder::keep_alive) says with each request how long
/// the model stays after it; leave that unset here.
#[async_trait]
impl Loader for OllamaModule {
    async fn loaded(&self) -> Result<Vec<Resident>, Error> {
        Loader::loaded(self.models()).await
    }

    async fn load(&self, model: &str) -> Result<(), Error> {
        self.load_to_stay(model).await
    }

    async fn unload(&self, model: &str) -> Result<(), Error> {
        Loader::unload(self.models(), model).await
    }
}
