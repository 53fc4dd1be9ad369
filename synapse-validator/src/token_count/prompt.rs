//! Counting a prompt.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Value};
use synapse_core::{Content, Error, Input, Message, Part, Prompt, Request, TokenCount, Tokenizer};

use super::{CompletionMeter, Vocabulary};

/// Bytes of a token, where no tokenizer is known: about right for English, too many tokens for few other languages.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a template puts around a message, and before the reply, where no template is known.
const PER_MESSAGE: u64 = 4;
const PER_REPLY: u64 = 3;
/// Tokens that an image, a sound or a file is taken for.
const PER_MEDIUM: u64 = 1_000;
/// Under this name a request of Ollama's keeps what no other format has.
const OLLAMAS: &str = "ollama";
/// Fields of a request that no prompt holds. Others may be part of it: tools and schemas are, and what an engine of its own
/// makes of a field is not known here.
const UNSAID: [&str; 16] = [
    "audio",
    "encoding_format",
    "function_call",
    "logit_bias",
    "metadata",
    "modalities",
    "prediction",
    "prompt_cache_key",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "stream_options",
    "tool_choice",
    "user",
    "verbosity",
    "web_search_options",
];

/// How many tokens the prompt has: an extension of the input, set by [`TokenCountLayer`](super::TokenCountLayer).
#[derive(Debug, Clone)]
pub struct PromptTokens {
    count: TokenCount,
    /// How many prompts they are the tokens of, where the request was read.
    prompts: Option<usize>,
    tokenizer: Option<Arc<dyn Tokenizer>>,
}

impl PromptTokens {
    fn estimated(tokens: TokenCount) -> Self {
        Self {
            count: tokens,
            prompts: None,
            tokenizer: None,
        }
    }

    /// An estimate from the length of a request, at four bytes a token: what there is where nobody counted.
    #[must_use]
    pub fn estimate(input: &Input) -> Self {
        Self::estimated(estimate(length(input)))
    }

    /// How many, and whether exactly so.
    #[must_use]
    pub fn count(&self) -> TokenCount {
        self.count
    }

    /// How many prompts were counted, as a text completion may have several; `None` where nobody read the request.
    pub(super) fn prompts(&self) -> Option<usize> {
        self.prompts
    }

    /// A meter that counts the reply the same way.
    #[must_use]
    pub fn meter(&self) -> CompletionMeter {
        CompletionMeter::new(self.tokenizer.clone())
    }
}

/// A number of tokens by length alone.
pub(super) fn estimate(bytes: usize) -> TokenCount {
    TokenCount::approximate((bytes as u64).div_ceil(BYTES_PER_TOKEN))
}

/// The bytes of a request's body, or of its texts where it was made in Rust.
pub(super) fn length(input: &Input) -> usize {
    if let Some(wire) = input.wire() {
        return wire.body().len();
    }
    input.request().map_or(0, |request| {
        let asked: usize = match &request.prompt {
            Prompt::Messages(messages) => messages.iter().map(message_length).sum(),
            Prompt::Texts(texts) => texts.iter().map(String::len).sum(),
            Prompt::Tokens(lists) => lists.iter().map(|tokens| tokens.len() * 4).sum(),
            _ => 0,
        };
        asked + json_length(&request.other)
    })
}

/// The bytes of fields as JSON.
fn json_length(fields: &Map<String, Value>) -> usize {
    let of = |(name, value): (&String, &Value)| name.len() + value.to_string().len();
    fields.iter().map(of).sum()
}

fn message_length(message: &Message) -> usize {
    let said = match &message.content {
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Other(other) => other.to_string().len(),
                _ => 0,
            })
            .sum(),
        _ => 0,
    };
    said + message.role.len() + json_length(&message.other)
}

/// Counts a prompt. By model and template it is exact; without a template tools, schemas and calls count as their JSON. Beside
/// a template schemas, media and fields that nobody here knows do, and beside texts: an image is [`PER_MEDIUM`] tokens. What
/// a template does not render, or a tokenizer not take, is estimated rather than refused: whether the model can answer is the
/// miner's to say. `wanted` is asked now and then, and ends the count of a long one with an estimate.
///
/// # Errors
/// Where the body is not what its dialect allows.
pub(super) fn count(
    input: &Input,
    vocabulary: &Vocabulary,
    wanted: &dyn Fn() -> bool,
) -> Result<PromptTokens, Error> {
    let request = input.request()?;
    let counted = match &request.prompt {
        Prompt::Messages(messages) => conversation(messages, &request, vocabulary, wanted),
        Prompt::Texts(texts) => {
            let suffix = request.other.get("suffix").and_then(Value::as_str);
            let mut texts = texts.iter().map(String::as_str).chain(suffix);
            let texts = texts.try_fold(TokenCount::exact(0), |sum, text| {
                Ok::<_, Error>(sum.plus(vocabulary.count(text, wanted)?))
            });
            texts.and_then(|texts| Ok(texts.plus(beside(&request, "suffix", vocabulary, wanted)?)))
        }
        Prompt::Tokens(lists) => {
            let tokens = lists.iter().map(|tokens| tokens.len() as u64).sum();
            let beside = beside(&request, "", vocabulary, wanted);
            beside.map(|beside| TokenCount::exact(tokens).plus(beside))
        }
        _ => Ok(estimate(length(input))),
    };
    let tokenizer = &vocabulary.tokenizer;
    let count = counted.unwrap_or_else(|error| {
        tracing::debug!(tokenizer = tokenizer.name(), %error, "a prompt is estimated");
        estimate(length(input))
    });
    Ok(PromptTokens {
        count,
        prompts: Some(prompts(&request.prompt)),
        tokenizer: Some(tokenizer.clone()),
    })
}

/// How many prompts a request holds, each of which is answered.
pub(super) fn prompts(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Texts(texts) => texts.len(),
        Prompt::Tokens(lists) => lists.len(),
        _ => 1,
    }
}

fn conversation(
    messages: &[Message],
    request: &Request,
    vocabulary: &Vocabulary,
    wanted: &dyn Fn() -> bool,
) -> Result<TokenCount, Error> {
    if let Some(renderer) = &vocabulary.renderer {
        match renderer.render(messages, request.other.get("tools")) {
            Ok(prompt) => {
                let rendered = if vocabulary.takes_whole(prompt.text.len()) {
                    let tokens = vocabulary.tokenizer.encode_prompt(&prompt)?;
                    TokenCount::exact(tokens.len() as u64)
                } else {
                    vocabulary.count(&prompt.text, wanted)?
                };
                let media = media(messages, vocabulary, wanted)?;
                let beside = beside(request, "tools", vocabulary, wanted)?;
                return Ok(rendered.plus(media).plus(beside));
            }
            Err(error) => tracing::debug!(%error, "a prompt is counted without its template"),
        }
    }
    let mut sum = TokenCount::approximate(PER_REPLY);
    sum = sum.plus(beside(request, "", vocabulary, wanted)?);
    for message in messages {
        sum = sum.plus(vocabulary.count(&message.role, wanted)?);
        sum = sum.plus(fields(&message.other, vocabulary, wanted)?);
        sum = sum.plus(TokenCount::approximate(PER_MESSAGE));
        match &message.content {
            Content::Text(text) => sum = sum.plus(vocabulary.count(text, wanted)?),
            Content::Parts(parts) => {
                for part in parts {
                    sum = sum.plus(match part {
                        Part::Text(text) => vocabulary.count(text, wanted)?,
                        Part::Other(other) => self::part(other, vocabulary, wanted)?,
                        _ => TokenCount::approximate(PER_MEDIUM),
                    });
                }
            }
            _ => {}
        }
    }
    Ok(sum)
}

/// What may be said beside the prompt, in fields of the request's own; one of them is counted already. Exact where there is
/// nothing.
fn beside(
    request: &Request,
    counted: &str,
    vocabulary: &Vocabulary,
    wanted: &dyn Fn() -> bool,
) -> Result<TokenCount, Error> {
    let said = request.other.iter().filter(|(name, value)| {
        let name = name.as_str();
        let is_apart = name == OLLAMAS && value.is_object();
        name != counted && !is_apart && !UNSAID.contains(&name)
    });
    let sum = fields(said, vocabulary, wanted)?;
    let Some(Value::Object(ollamas)) = request.other.get(OLLAMAS) else {
        return Ok(sum);
    };
    let said = ollamas
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "images" | "options"));
    let sum = sum.plus(fields(said, vocabulary, wanted)?);
    match ollamas.get("images") {
        Some(Value::Array(images)) if !images.is_empty() => {
            Ok(sum.plus(TokenCount::approximate(PER_MEDIUM * images.len() as u64)))
        }
        _ => Ok(sum),
    }
}

/// What of a conversation is no text. Exact where all of it is.
fn media(
    messages: &[Message],
    vocabulary: &Vocabulary,
    wanted: &dyn Fn() -> bool,
) -> Result<TokenCount, Error> {
    let mut sum = TokenCount::exact(0);
    for message in messages {
        let Content::Parts(parts) = &message.content else {
            continue;
        };
        for other in parts {
            sum = sum.plus(match other {
                Part::Text(_) => continue,
                Part::Other(other) => part(other, vocabulary, wanted)?,
                _ => TokenCount::approximate(PER_MEDIUM),
            });
        }
    }
    Ok(sum)
}

/// A part that is no text: words of another kind, such as a refusal, and media, which are objects whose data are no words.
fn part(part: &Value, vocabulary: &Vocabulary, wanted: &dyn Fn() -> bool) -> Result<TokenCount, Error> {
    let Some(said) = part.as_object() else {
        return Ok(TokenCount::approximate(PER_MEDIUM));
    };
    let media = said.values().filter(|value| value.is_object()).count() as u64;
    let words = said.iter().filter(|(_, value)| !value.is_object());
    Ok(fields(words, vocabulary, wanted)?.plus(TokenCount::approximate(media.saturating_mul(PER_MEDIUM))))
}

/// Texts and structures, as JSON has them; numbers and switches are no words.
fn fields<'a>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    vocabulary: &Vocabulary,
    wanted: &dyn Fn() -> bool,
) -> Result<TokenCount, Error> {
    let mut sum = TokenCount::exact(0);
    for (_, value) in fields {
        let text = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Array(list) if !list.is_empty() => Cow::Owned(value.to_string()),
            Value::Object(map) if !map.is_empty() => Cow::Owned(value.to_string()),
            _ => continue,
        };
        // What becomes of it nobody here knows.
        let tokens = vocabulary.count(&text, wanted)?.tokens();
        sum = sum.plus(TokenCount::approximate(tokens));
    }
    Ok(sum)
}
