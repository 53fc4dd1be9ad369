//! Which model counts how.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use synapse_core::{Error, PromptRenderer, Tokenizer};

use super::{Vocabulary, loading::Loading};
use crate::same_model::other_name;

/// The tokenizers of the models that are served, and the templates by which their prompts are rendered.
///
/// A model is named as requests name it; `m` and `m:latest` are one. A name that ends in `*` stands for all that begin so: a
/// model's own name counts first, then the longest beginning. What is loaded is loaded when the first request needs it, once,
/// on a thread that may block; a request waits for it up to 10 s. Where loading fails, the log says so once, requests are
/// estimated, and it is tried again after 15 s, then after twice as long, up to 10 minutes.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{Error, Tokenizer};
/// use synapse_validator::token_count::{Tokenizers, Vocabulary};
///
/// #[derive(Debug)]
/// struct Bytes;
/// impl Tokenizer for Bytes {
///     fn name(&self) -> &str {
///         "bytes"
///     }
///     fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
///         Ok(text.bytes().map(u32::from).collect())
///     }
///     fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
///         Ok(tokens.iter().filter_map(|token| char::from_u32(*token)).collect())
///     }
/// }
///
/// let tokenizers = Tokenizers::new()
///     .with("smollm2", Arc::new(Bytes))
///     .with_loader("qwen3*", || Ok(Vocabulary::new(Arc::new(Bytes))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tokenizers {
    models: HashMap<String, Entry>,
    /// By the beginning of a model's name.
    beginnings: HashMap<String, Entry>,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    source: Option<Source>,
    renderer: Option<Arc<dyn PromptRenderer>>,
}

#[derive(Debug, Clone)]
enum Source {
    Ready(Arc<dyn Tokenizer>),
    Loading(Arc<Loading>),
}

impl Tokenizers {
    /// None yet: everything is estimated.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, counting `model` by `tokenizer`.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, tokenizer: Arc<dyn Tokenizer>) -> Self {
        self.entry(model.into()).source = Some(Source::Ready(tokenizer));
        self
    }

    /// The same, rendering conversations with `model` by `renderer`, which makes their count exact.
    #[must_use]
    pub fn with_renderer(mut self, model: impl Into<String>, renderer: Arc<dyn PromptRenderer>) -> Self {
        self.entry(model.into()).renderer = Some(renderer);
        self
    }

    /// The same, counting `model` by what `load` loads when it is first needed. It may block.
    #[must_use]
    pub fn with_loader(
        self,
        model: impl Into<String>,
        load: impl Fn() -> Result<Vocabulary, Error> + Send + Sync + 'static,
    ) -> Self {
        let model = model.into();
        let loading = Loading::new(model.clone(), load);
        self.with_loading(model, loading)
    }

    /// The same, counting `model` by one of OpenAI's vocabularies.
    #[cfg(feature = "openai-vocabularies")]
    #[must_use]
    pub fn with_openai(self, model: impl Into<String>, vocabulary: super::OpenAiVocabulary) -> Self {
        self.with_loading(model.into(), openai(vocabulary))
    }

    /// The same, counting OpenAI's own models, and those fine-tuned from them, by their vocabularies.
    #[cfg(feature = "openai-vocabularies")]
    #[must_use]
    pub fn with_openai_models(mut self) -> Self {
        let loading = super::OpenAiVocabulary::ALL.map(|vocabulary| (vocabulary, openai(vocabulary)));
        for (model, vocabulary) in super::openai::PATTERNS {
            for (_, loading) in loading.iter().filter(|(of, _)| of == vocabulary) {
                self = self.with_loading((*model).to_owned(), loading.clone());
            }
        }
        self
    }

    /// The same, counting `model` by the `tokenizer.json` at `path`.
    #[cfg(feature = "tokenizer-json")]
    #[must_use]
    pub fn with_json(self, model: impl Into<String>, path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        let load = move || Ok(Vocabulary::new(Arc::new(super::JsonTokenizer::open(&path)?)));
        self.with_loader(model, load)
    }

    /// Loads now what would be loaded when it is first needed, so that a wrong path is not found out by a request.
    ///
    /// # Errors
    /// Where one of them cannot be loaded. The others may not have been tried.
    pub async fn load(&self) -> Result<(), Error> {
        let loading: Vec<_> = self.loading().cloned().collect();
        let load = move || loading.iter().try_for_each(|loading| loading.load_now());
        tokio::task::spawn_blocking(load).await.unwrap_or_else(|failed| {
            Err(Error::internal("loading_ended", "loading the vocabularies ended early").with_source(failed))
        })
    }

    /// How this model counts; `None` where it does not, or not yet.
    pub(super) async fn of(&self, model: &str) -> Option<Vocabulary> {
        let entry = self.entry_of(model)?;
        let mut vocabulary = match entry.source.as_ref()? {
            Source::Ready(tokenizer) => Vocabulary::new(tokenizer.clone()),
            Source::Loading(loading) => loading.get().await?,
        };
        if let Some(renderer) = &entry.renderer {
            vocabulary = vocabulary.with_renderer(renderer.clone());
        }
        Some(vocabulary)
    }

    /// What is loaded when it is needed, each with how often that failed in a row.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&str, u32)> {
        self.loading().map(|loading| (loading.name(), loading.failures()))
    }

    fn loading(&self) -> impl Iterator<Item = &Arc<Loading>> {
        let entries = self.models.values().chain(self.beginnings.values());
        let loading = entries.filter_map(|entry| match &entry.source {
            Some(Source::Loading(loading)) => Some(loading),
            _ => None,
        });
        // Several models may share one.
        let each: BTreeMap<_, _> = loading.map(|loading| (Arc::as_ptr(loading), loading)).collect();
        each.into_values()
    }

    fn entry_of(&self, model: &str) -> Option<&Entry> {
        let beginning = || {
            let fitting = self
                .beginnings
                .iter()
                .filter(|(beginning, _)| model.starts_with(beginning.as_str()));
            let longest = fitting.max_by_key(|(beginning, _)| beginning.len());
            longest.map(|(_, entry)| entry)
        };
        let named = self.models.get(model);
        let same = || self.models.get(&*other_name(model)?);
        named.or_else(same).or_else(beginning)
    }

    fn entry(&mut self, model: String) -> &mut Entry {
        match model.strip_suffix('*') {
            Some(beginning) => self.beginnings.entry(beginning.to_owned()).or_default(),
            None => self.models.entry(model).or_default(),
        }
    }

    fn with_loading(mut self, model: String, loading: Arc<Loading>) -> Self {
        self.entry(model).source = Some(Source::Loading(loading));
        self
    }
}

#[cfg(feature = "openai-vocabularies")]
fn openai(vocabulary: super::OpenAiVocabulary) -> Arc<Loading> {
    Loading::new(vocabulary.name().to_owned(), move || {
        Ok(Vocabulary::new(Arc::new(super::OpenAiTokenizer::load(
            vocabulary,
        )?)))
    })
}
