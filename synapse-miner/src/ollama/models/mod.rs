//! An Ollama's models: which there are, fetching and making them, loading and unloading.
//!
//! All of it is Ollama's own API. Whatever takes long is a [`Transfer`]: a stream of [`Progress`] that anything can draw,
//! and that stops the work when it is dropped.

pub(super) mod answers;
mod create;
mod keep_alive;
mod lines;
mod transfer;

use std::{path::Path, time::Duration};

use http::Method;
use semver::Version;
use serde_json::json;
use synapse_core::Error;

pub use self::{
    answers::{LoadedModel, Model, ModelDetails},
    keep_alive::KeepAlive,
    transfer::{Progress, Transfer},
};
use super::{
    transport::{Transport, written},
    version,
};

/// The longest wait for an answer that needs no work.
const QUICK: Duration = Duration::from_secs(10);
/// The longest wait for a model to be in memory.
const LOAD: Duration = Duration::from_secs(600);

/// An Ollama's models, managed over its own API. A clone shares connections.
///
/// ```no_run
/// use futures_util::StreamExt;
/// use synapse_miner::ollama::Models;
///
/// # #[allow(dead_code)]
/// # async fn manage() -> Result<(), synapse_core::Error> {
/// let models = Models::connect("http://127.0.0.1:11434").await?;
/// let mut pull = models.pull("smollm2:135m");
/// while let Some(step) = pull.next().await {
///     let step = step?;
///     println!("{}: {} of {} bytes", step.status, step.completed, step.total);
/// }
/// for model in models.loaded().await? {
///     println!("{} takes {} bytes", model.name, model.size);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Models {
    transport: Transport,
}

impl Models {
    /// The models of the Ollama at `url`, after a look whether it is one, and new enough.
    ///
    /// # Errors
    /// `ollama_unreachable`, `not_ollama`, `ollama_too_old`; where the address is none.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let models = Self::at(Transport::new(url)?);
        models.version().await?;
        Ok(models)
    }

    pub(super) fn at(transport: Transport) -> Self {
        Self { transport }
    }

    /// Ollama's version; `None` of a build that does not know its own.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn version(&self) -> Result<Option<Version>, Error> {
        version::check(&self.transport).await
    }

    /// The models on its disk.
    ///
    /// # Errors
    /// Where Ollama does not answer.
    pub async fn list(&self) -> Result<Vec<Model>, Error> {
        let listed: answers::Listed<Model> = self.transport.get("/api/tags", QUICK).await?;
        Ok(listed.models)
    }

    /// The models in its memory.
    ///
    /// # Errors
    /// Where Ollama does not answer.
    pub async fn loaded(&self) -> Result<Vec<LoadedModel>, Error> {
        let listed: answers::Listed<LoadedModel> = self.transport.get("/api/ps", QUICK).await?;
        Ok(listed.models)
    }

    /// What a model is and can do.
    ///
    /// # Errors
    /// `model_not_found`; where Ollama does not answer.
    pub async fn show(&self, name: &str) -> Result<ModelDetails, Error> {
        let question = json!({"model": name});
        self.transport
            .ask(Method::POST, "/api/show", &question, name, QUICK)
            .await
    }

    /// Fetches a model from its registry, which must speak https. Bytes that are there already are not fetched again.
    pub fn pull(&self, name: &str) -> Transfer {
        self.fetch(name, false)
    }

    /// The same from a registry that may speak plain http, such as one on this machine.
    pub fn pull_insecure(&self, name: &str) -> Transfer {
        self.fetch(name, true)
    }

    fn fetch(&self, name: &str, insecure: bool) -> Transfer {
        let question = json!({"model": name, "insecure": insecure, "stream": true});
        let (transport, name) = (self.transport.clone(), name.to_owned());
        Transfer::new(move |steps| async move {
            lines::follow(&transport, "/api/pull", written(&question), &name, &steps).await
        })
    }

    /// Makes a model of a GGUF file on this machine: its digest is computed, the file is sent to Ollama unless that has it,
    /// and the model gets its name.
    pub fn create(&self, name: &str, gguf: impl AsRef<Path>) -> Transfer {
        create::create(self.transport.clone(), name.to_owned(), gguf.as_ref().to_owned())
    }

    /// Gives a model a second name.
    ///
    /// # Errors
    /// `model_not_found`; where the name is none.
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        let question = json!({"source": from, "destination": to});
        self.transport
            .ask(Method::POST, "/api/copy", &question, from, QUICK)
            .await
    }

    /// Takes a model from its disk, unless another name needs the same bytes.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let question = json!({"model": name});
        self.transport
            .ask(Method::DELETE, "/api/delete", &question, name, QUICK)
            .await
    }

    /// Brings a model into memory, and waits until it is there: 10 minutes at most.
    ///
    /// # Errors
    /// `model_not_found`, `out_of_memory`, `model_broken`; where Ollama does not answer.
    pub async fn load(&self, name: &str, keep_alive: KeepAlive) -> Result<(), Error> {
        self.load_with(name, Some(keep_alive), None).await
    }

    /// Takes a model out of memory once its replies are done.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn unload(&self, name: &str) -> Result<(), Error> {
        if !self.is_loaded(name).await? {
            // Asked to unload what is not there, Ollama would load it first.
            return self.show(name).await.map(drop);
        }
        self.load(name, KeepAlive::For(Duration::ZERO)).await
    }

    /// Whether a model is in memory.
    pub(crate) async fn is_loaded(&self, name: &str) -> Result<bool, Error> {
        let loaded = self.loaded().await?;
        Ok(loaded.iter().any(|model| answers::same_name(&model.name, name)))
    }

    /// As [`load`](Self::load); what is not said is Ollama's own default.
    pub(super) async fn load_with(
        &self,
        name: &str,
        keep_alive: Option<KeepAlive>,
        context: Option<u32>,
    ) -> Result<(), Error> {
        // Without a prompt it only loads. A model that embeds, and does nothing else, is asked for nothing too.
        let can_generate = self.show(name).await?.can("completion");
        let (path, nothing) = match can_generate {
            true => ("/api/generate", "prompt"),
            false => ("/api/embed", "input"),
        };
        let mut question = json!({"model": name, "stream": false});
        question[nothing] = "".into();
        if let Some(keep_alive) = keep_alive {
            question["keep_alive"] = keep_alive.to_json();
        }
        if let Some(tokens) = context {
            question["options"] = json!({"num_ctx": tokens});
        }
        let _: serde_json::Value = self
            .transport
            .ask(Method::POST, path, &question, name, LOAD)
            .await?;
        Ok(())
    }
}
