//! What counts the tokens of which model.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use synapse_core::Error;
use synapse_validator::Tokenizers;

/// The tokenizers of these models. Says what is counted how.
pub(crate) async fn load(sources: &BTreeMap<String, PathBuf>) -> Result<Tokenizers, Error> {
    let mut tokenizers = Tokenizers::new();
    for (model, file) in sources {
        tokenizers = add(tokenizers, model, file).await?;
        eprintln!("tokens of {model} are counted with {}", file.display());
    }
    let others = if sources.is_empty() { "all" } else { "other" };
    eprintln!("tokens of {others} models are estimated from the length of the text");
    Ok(tokenizers)
}

#[cfg(feature = "llama")]
async fn add(tokenizers: Tokenizers, model: &str, file: &Path) -> Result<Tokenizers, Error> {
    use std::sync::Arc;
    use synapse_llama::{ChatTemplate, LlamaTokenizer, LlamaWeights};

    let path = file.to_owned();
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
async fn add(_: Tokenizers, model: &str, _: &Path) -> Result<Tokenizers, Error> {
    Err(Error::unsupported(
        "no_tokenizers",
        format!("the tokens of {model} cannot be counted: this program was built without llama.cpp"),
    )
    .with_hint("build it with --features llama, or leave --tokenizer out"))
}
