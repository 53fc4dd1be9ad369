//! What counts the tokens of which model.

use std::{path::PathBuf, str::FromStr};

use synapse_core::Error;
use synapse_validator::Tokenizers;

/// A model, and the file that has its tokenizer.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    model: String,
    file: PathBuf,
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((model, file)) if !model.is_empty() && !file.is_empty() => Ok(Self {
                model: model.to_owned(),
                file: file.into(),
            }),
            _ => Err("write it as MODEL=FILE.gguf"),
        }
    }
}

/// The tokenizers of these models. Says what is counted how.
pub(crate) async fn load(sources: &[Source]) -> Result<Tokenizers, Error> {
    let mut tokenizers = Tokenizers::new();
    for source in sources {
        tokenizers = add(tokenizers, source).await?;
        eprintln!(
            "tokens of {} are counted with {}",
            source.model,
            source.file.display()
        );
    }
    let others = if sources.is_empty() { "all" } else { "other" };
    eprintln!("tokens of {others} models are estimated from the length of the text");
    Ok(tokenizers)
}

#[cfg(feature = "llama")]
async fn add(tokenizers: Tokenizers, Source { model, file }: &Source) -> Result<Tokenizers, Error> {
    use std::sync::Arc;
    use synapse_llama::{ChatTemplate, LlamaTokenizer, LlamaWeights};

    let path = file.clone();
    let loaded = tokio::task::spawn_blocking(move || LlamaWeights::load(path)).await;
    let weights = loaded.map_err(|error| {
        Error::internal("loading_ended", "loading the tokenizer ended early").with_source(error)
    })??;
    let tokenizers = match ChatTemplate::of(&weights) {
        Ok(template) => tokenizers.with_renderer(model, Arc::new(template)),
        Err(_) => tokenizers,
    };
    Ok(tokenizers.with(model, Arc::new(LlamaTokenizer::new(weights))))
}

#[cfg(not(feature = "llama"))]
async fn add(_: Tokenizers, Source { model, .. }: &Source) -> Result<Tokenizers, Error> {
    Err(Error::unsupported(
        "no_tokenizers",
        format!("the tokens of {model} cannot be counted: this program was built without llama.cpp"),
    )
    .with_hint("build it with --features llama, or leave --tokenizer out"))
}
