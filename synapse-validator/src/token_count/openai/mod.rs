//! The vocabularies of OpenAI's models.
//!
//! Two crates count by them, and agree. `tiktoken` is the faster one on prose, and slow where a word is long or its
//! characters are rare; `bpe-openai` takes linear time on any text. A text is cut where both always cut it, and each part
//! goes to the one that suits it.

mod models;
mod parts;

use std::{fmt, str::FromStr};

use synapse_core::{Error, TokenCount, Tokenizer};

use self::parts::{Part, parts};

pub(super) use self::models::PATTERNS;

/// A vocabulary that OpenAI published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpenAiVocabulary {
    /// Of GPT-3.5, GPT-4 and the embedding models.
    Cl100kBase,
    /// Of GPT-4o, GPT-5, the reasoning models and gpt-oss, whose special tokens alone differ.
    O200kBase,
}

impl OpenAiVocabulary {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cl100kBase, Self::O200kBase];

    /// As OpenAI calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cl100kBase => "cl100k_base",
            Self::O200kBase => "o200k_base",
        }
    }

    /// The vocabulary of one of OpenAI's models, or of one that was fine-tuned from it.
    ///
    /// ```
    /// use synapse_validator::token_count::OpenAiVocabulary;
    ///
    /// let of = OpenAiVocabulary::of_model;
    /// assert_eq!(of("gpt-4o-mini-2024-07-18"), Some(OpenAiVocabulary::O200kBase));
    /// assert_eq!(of("gpt-4"), Some(OpenAiVocabulary::Cl100kBase));
    /// assert_eq!(of("smollm2"), None);
    /// ```
    #[must_use]
    pub fn of_model(model: &str) -> Option<Self> {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => model == pattern,
        };
        let fitting = PATTERNS.iter().filter(|(pattern, _)| fits(pattern));
        fitting
            .max_by_key(|(pattern, _)| pattern.len())
            .map(|(_, vocabulary)| *vocabulary)
    }
}

impl fmt::Display for OpenAiVocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OpenAiVocabulary {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|vocabulary| vocabulary.name() == name);
        named.ok_or_else(|| {
            Error::invalid(
                "unknown_vocabulary",
                format!("there is no vocabulary {name:?} of OpenAI's here"),
            )
            .with_hint("use o200k_base or cl100k_base")
        })
    }
}

/// Counts as OpenAI's models do; special tokens that are written out are text.
///
/// It takes linear time on any text: a megabyte of prose in some 12 ms, one that was made to be slow in some 100 ms.
pub struct OpenAiTokenizer {
    vocabulary: OpenAiVocabulary,
    quick: &'static tiktoken::CoreBpe,
    steady: &'static bpe_openai::Tokenizer,
}

impl OpenAiTokenizer {
    /// Loads a vocabulary, which takes some hundred milliseconds the first time.
    ///
    /// # Errors
    /// Where this program was built without it.
    pub fn load(vocabulary: OpenAiVocabulary) -> Result<Self, Error> {
        let quick = tiktoken::get_encoding(vocabulary.name()).ok_or_else(|| {
            let message = format!("{vocabulary} is not part of this program");
            Error::unsupported("no_vocabulary", message)
                .with_hint("build it with tiktoken's features vocab-o200k_base and vocab-cl100k_base")
        })?;
        let steady = match vocabulary {
            OpenAiVocabulary::Cl100kBase => bpe_openai::cl100k_base(),
            OpenAiVocabulary::O200kBase => bpe_openai::o200k_base(),
        };
        Ok(Self {
            vocabulary,
            quick,
            steady,
        })
    }
}

impl Tokenizer for OpenAiTokenizer {
    fn name(&self) -> &str {
        self.vocabulary.name()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::new();
        for part in parts(text) {
            match part {
                Part::Plain(text) => tokens.extend(self.quick.encode(text)),
                Part::Hard(text) => tokens.extend(self.steady.encode(text)),
            }
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        let mut bytes = Vec::new();
        for token in tokens {
            let piece = self.quick.decode(std::slice::from_ref(token));
            if piece.is_empty() {
                let message = format!("{} has no token {token}", self.vocabulary);
                return Err(Error::invalid("unknown_token", message));
            }
            bytes.extend(piece);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn count(&self, text: &str) -> Result<TokenCount, Error> {
        let tokens: usize = parts(text)
            .map(|part| match part {
                Part::Plain(text) => self.quick.count(text),
                Part::Hard(text) => self.steady.count(text),
            })
            .sum();
        Ok(TokenCount::exact(tokens as u64))
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn last_cut(&self, text: &str) -> Option<usize> {
        parts::last_cut(text)
    }
}

impl fmt::Debug for OpenAiTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenAiTokenizer").field(&self.vocabulary).finish()
    }
}
