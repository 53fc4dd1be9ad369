//! What a member claims, and whether an answer bears it out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a member's capabilities claim, and that a probe can show to be false.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Claim {
    /// It serves this model.
    Model(String),
    /// A prompt and a reply of this many tokens together fit into the context of this model.
    Context(String, u32),
    /// A streamed reply comes as it is made, rather than at once at the end.
    Streaming,
    /// A request that is wrong is refused as the caller's fault, and not answered.
    Errors,
}

impl Claim {
    /// Of which kind it is, in a word: `model`, `context`, `streaming`, `errors`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Model(_) => "model",
            Self::Context(..) => "context",
            Self::Streaming => "streaming",
            Self::Errors => "errors",
        }
    }

    /// The model that it is about, where it is about one.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Model(model) | Self::Context(model, _) => Some(model),
            Self::Streaming | Self::Errors => None,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(f, "the model {model}"),
            Self::Context(model, tokens) => write!(f, "a context of {tokens} tokens of {model}"),
            Self::Streaming => f.write_str("streaming"),
            Self::Errors => f.write_str("refusing what is wrong"),
        }
    }
}

/// What one answer says about one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// About what.
    pub claim: Claim,
    /// Whether it is true.
    pub verdict: Verdict,
}

/// Whether a claim is true.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It was kept.
    Kept,
    /// It was not, and why that is so.
    Broken(String),
}

impl Finding {
    /// `claim` was kept.
    #[must_use]
    pub fn kept(claim: Claim) -> Self {
        Self {
            claim,
            verdict: Verdict::Kept,
        }
    }

    /// `claim` was not kept.
    pub fn broken(claim: Claim, why: impl Into<String>) -> Self {
        Self {
            claim,
            verdict: Verdict::Broken(why.into()),
        }
    }
}
