//! What counts the tokens of which model.

use std::{collections::BTreeMap, path::Path};

use synapse_core::Error;
use synapse_validator::{Tokenizers, token_count::OpenAiVocabulary};

/// The tokenizers of these models, beside those of OpenAI's own. Says what is counted how.
pub(crate) async fn load(sources: &BTreeMap<String, String>) -> Result<Tokenizers, Error> {
    let mut tokenizers = Tokenizers::new();
    for (model, source) in sources {
        tokenizers = add(tokenizers, model, source)?;
    }
    // What an operator names must be there before anybody asks; OpenAI's wait until somebody does.
    tokenizers.load().await?;
    for (model, source) in sources {
        eprintln!("tokens of {model} are counted with {source}");
    }
    let others = if sources.is_empty() { "all" } else { "other" };
    eprintln!("tokens of {others} models are estimated from the length of the text, but for OpenAI's");
    Ok(tokenizers.with_openai_models())
}

fn add(tokenizers: Tokenizers, model: &str, source: &str) -> Result<Tokenizers, Error> {
    if let Ok(vocabulary) = source.parse::<OpenAiVocabulary>() {
        return Ok(tokenizers.with_openai(model, vocabulary));
    }
    let file = Path::new(source);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Ok(tokenizers.with_json(model, file)),
        _ => gguf(tokenizers, model, file),
    }
}

#[cfg(feature = "llama")]
#[expect(clippy::unnecessary_wraps, reason = "without llama.cpp it fails")]
fn gguf(tokenizers: Tokenizers, model: &str, file: &Path) -> Result<Tokenizers, Error> {
    use std::sync::Arc;

    use synapse_llama::{ChatTemplate, LlamaTokenizer, LlamaWeights};
    use synapse_validator::token_count::Vocabulary;

    let file = file.to_owned();
    Ok(tokenizers.with_loader(model, move || {
        let weights = LlamaWeights::load(file.clone())?;
        let template = ChatTemplate::of(&weights).ok();
        let vocabulary = Vocabulary::new(Arc::new(LlamaTokenizer::new(weights)));
        Ok(match template {
            Some(template) => vocabulary.with_renderer(Arc::new(template)),
            None => vocabulary,
        })
    }))
}

#[cfg(not(feature = "llama"))]
fn gguf(_: Tokenizers, model: &str, file: &Path) -> Result<Tokenizers, Error> {
    Err(Error::unsupported(
        "no_tokenizers",
        format!(
            "the tokens of {model} cannot be counted with {}: this program was built without llama.cpp",
            file.display()
        ),
    )
    .with_hint("build it with --features llama, name a tokenizer.json or one of o200k_base and cl100k_base, or leave --tokenizer out"))
}
