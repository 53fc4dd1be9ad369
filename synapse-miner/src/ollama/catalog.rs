//! Which models an Ollama serves through a miner, and what is known of each.

use std::{sync::RwLock, time::Duration};

use futures_util::{StreamExt as _, stream};
use semver::Version;
use synapse_core::{Error, ModelInfo, ModuleCapabilities, ResourceSpec, Task};
use tokio::time::Instant;

use super::{
    builder::Settings,
    models::{LoadedModel, Model, ModelDetails, Models, answers::same_name},
};

/// How many models are looked at at once.
const LOOKS: usize = 4;
/// The most models that are served.
const MOST: usize = 256;
/// The most alternatives with log-probabilities that Ollama sends with a token.
const TOP_LOGPROBS: u8 = 20;
/// How long what was found holds, so that many who ask make one request.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// What an Ollama turned out to have.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    pub(super) version: Option<Version>,
    pub(super) models: Vec<Served>,
    /// What the operator wants served and Ollama does not have.
    pub(super) missing: Vec<String>,
    /// Models that Ollama cannot read, and why.
    pub(super) broken: Vec<(String, Error)>,
    pub(super) loaded: Vec<LoadedModel>,
    /// The context that Ollama gives a model that says nothing, in tokens, where it was seen.
    default_context: Option<u32>,
    resources: ResourceSpec,
    /// The manifests that it was read from: other ones are other models.
    manifests: Vec<(String, String)>,
}

/// A model that is served.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) info: ModelInfo,
    pub(super) details: ModelDetails,
    /// The context that it has in memory now, in tokens, where that is known.
    pub(super) context: Option<u32>,
    size: u64,
}

impl Served {
    /// Bytes that a prompt has besides what the request says: none of its tokens has none.
    pub(super) fn overhead(&self) -> usize {
        self.details.template.len() + self.details.system.len()
    }
}

/// Asks Ollama what it has.
pub(super) async fn look(
    models: &Models,
    settings: &Settings,
    version: Option<Version>,
    default_context: Option<u32>,
) -> Result<Catalog, Error> {
    let listed = models.list().await?;
    let mut catalog = Catalog {
        version,
        manifests: manifests(&listed),
        loaded: models.loaded().await?,
        default_context,
        ..Catalog::default()
    };
    let (wanted, missing) = wanted(listed, &settings.models);
    catalog.missing = missing;
    let looks = wanted.into_iter().take(MOST).map(|(id, model)| async move {
        let details = models.show(&model.name).await;
        (id, model.size, details)
    });
    let looked: Vec<_> = stream::iter(looks).buffered(LOOKS).collect().await;
    for (id, size, details) in looked {
        match details {
            Ok(details) => {
                let mut info = ModelInfo::new(id);
                info.digest = details.weights();
                catalog.models.push(Served {
                    info,
                    details,
                    context: None,
                    size,
                });
            }
            // Others may well be read.
            Err(error) if error.code() == "model_broken" => catalog.broken.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    catalog.conclude(settings);
    Ok(catalog)
}

/// Those models that are served, under the names that the operator gave, and names that no model has. Where he named none:
/// all whose work is done here, for a prompt must not leave this machine unless he knows.
fn wanted(listed: Vec<Model>, named: &[String]) -> (Vec<(String, Model)>, Vec<String>) {
    if named.is_empty() {
        let here = listed.into_iter().filter(|model| model.remote_host.is_empty());
        return (
            here.map(|model| (model.name.clone(), model)).collect(),
            Vec::new(),
        );
    }
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in named {
        match listed.iter().find(|model| same_name(&model.name, name)) {
            Some(model) => found.push((name.clone(), model.clone())),
            None => missing.push(name.clone()),
        }
    }
    (found, missing)
}

/// The context that a model will have, as far as the operator or the model says; else what it has in memory.
fn context(served: &Served, loaded: &[LoadedModel], settings: &Settings) -> Option<u32> {
    let trained = served.details.trained_context().unwrap_or(u32::MAX);
    let of_model = || served.details.parameter("num_ctx")?.parse::<u32>().ok();
    let said = settings
        .context_length
        .or_else(of_model)
        .map(|tokens| tokens.min(trained));
    said.or_else(|| in_memory(served, loaded))
}

fn in_memory(served: &Served, loaded: &[LoadedModel]) -> Option<u32> {
    let loaded = loaded
        .iter()
        .find(|model| same_name(&model.name, &served.info.id))?;
    (loaded.context_length > 0).then_some(loaded.context_length)
}

fn manifests(listed: &[Model]) -> Vec<(String, String)> {
    let mut manifests: Vec<_> = listed
        .iter()
        .map(|model| (model.name.clone(), model.digest.clone()))
        .collect();
    manifests.sort();
    manifests
}

impl Catalog {
    /// The model of this name, with or without its tag.
    pub(super) fn model(&self, name: &str) -> Option<&Served> {
        self.models.iter().find(|model| same_name(&model.info.id, name))
    }

    pub(super) fn default_context(&self) -> Option<u32> {
        self.default_context
    }

    /// Whether Ollama has other models by now than were looked at.
    pub(super) fn differs(&self, listed: &[Model]) -> bool {
        self.manifests != manifests(listed)
    }

    /// Takes over what is in memory by now. What was advertised stays, but for a context that was not known; a model that
    /// somebody had loaded with another context, and that has left since, is loaded with the advertised one again.
    pub(super) fn update(&mut self, loaded: Vec<LoadedModel>) {
        for served in &mut self.models {
            served.context = in_memory(served, &loaded).or(served.info.context_length);
            served.info.context_length = served.info.context_length.or(served.context);
        }
        self.loaded = loaded;
    }

    /// Loads a model where the context of one is not known before it is loaded: what Ollama gives it, it gives all.
    pub(super) async fn learn_contexts(&mut self, models: &Models, settings: &Settings) -> Result<(), Error> {
        if self
            .models
            .iter()
            .any(|model| model.info.context_length.is_none())
        {
            self.loaded = self.load_one(models, settings).await?;
            self.conclude(settings);
        }
        Ok(())
    }

    /// What follows from what is in memory.
    fn conclude(&mut self, settings: &Settings) {
        let default = self.default_context;
        for model in &mut self.models {
            let trained = model.details.trained_context().unwrap_or(u32::MAX);
            let of_default = || default.map(|tokens| tokens.min(trained));
            model.info.context_length = context(model, &self.loaded, settings).or_else(of_default);
            model.context = in_memory(model, &self.loaded).or(model.info.context_length);
        }
        self.resources = self.needed();
    }

    /// Loads the smallest model that says nothing of its context and can be loaded, and returns what is in memory then.
    async fn load_one(&mut self, models: &Models, settings: &Settings) -> Result<Vec<LoadedModel>, Error> {
        let mut silent: Vec<_> = self
            .models
            .iter()
            .filter(|model| context(model, &[], settings).is_none())
            .collect();
        silent.sort_by_key(|model| model.size);
        let mut failed = None;
        for model in silent {
            if let Err(error) = models.load_with(&model.info.id, settings.keep_alive, None).await {
                tracing::warn!(model = %model.info.id, %error, "a model cannot be loaded");
                failed.get_or_insert(error);
                continue;
            }
            let loaded = models.loaded().await?;
            self.default_context = in_memory(model, &loaded);
            return Ok(loaded);
        }
        failed.map_or_else(|| Ok(self.loaded.clone()), Err)
    }

    /// What the module can do with them.
    pub(super) fn capabilities(&self, settings: &Settings) -> ModuleCapabilities {
        let version = Version::parse(env!("CARGO_PKG_VERSION")).expect("cargo checks a package's version");
        let mut capabilities = ModuleCapabilities::new("ollama")
            .with_version(version)
            .with_streaming();
        for model in &self.models {
            if model.details.can("completion") {
                capabilities = capabilities
                    .with_task(Task::CHAT)
                    .with_task(Task::TEXT_COMPLETION);
            }
            if model.details.can("embedding") {
                capabilities = capabilities.with_task(Task::EMBEDDINGS);
            }
            capabilities = capabilities.with_model(model.info.clone());
        }
        capabilities.dialects = vec!["openai".to_owned(), "ollama".to_owned()];
        capabilities.top_logprobs = TOP_LOGPROBS;
        capabilities.seeds = true;
        capabilities.concurrency = Some(settings.parallel);
        capabilities.resources = self.resources;
        capabilities
    }

    /// What they take on disk, and the largest of them in memory at least. What is loaded at the moment is in the metrics:
    /// claims are told to the chain, and should change with the models alone.
    fn needed(&self) -> ResourceSpec {
        let on_disk = self.models.iter().map(|model| model.size);
        let mut resources = ResourceSpec::new(0.0, on_disk.clone().max().unwrap_or(0));
        resources.disk_bytes = on_disk.fold(0, u64::saturating_add);
        resources
    }
}

/// What was found last, and when somebody last asked how it is.
#[derive(Debug, Default)]
pub(super) struct Known {
    catalog: RwLock<Option<Catalog>>,
    /// When Ollama was last asked how it is, and the error where it did not say. Held while it is asked, so that many who ask
    /// make one request.
    pub(super) asked: tokio::sync::Mutex<Option<(Instant, Option<Error>)>>,
}

impl Known {
    /// Reads what is known; `None` before the first look.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> Option<T> {
        let catalog = self
            .catalog
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        catalog.as_ref().map(read)
    }

    pub(super) fn set(&self, catalog: Catalog) {
        *self
            .catalog
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(catalog);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = self
            .catalog
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(catalog) = catalog.as_mut() {
            change(catalog);
        }
    }
}
