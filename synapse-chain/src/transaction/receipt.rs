//! What became of a transaction.

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, Error, ErrorKind, Member};

use super::TxHash;

/// What became of a transaction, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// Which transaction.
    pub hash: TxHash,
    /// The block that holds it.
    pub block: BlockNumber,
    /// What it did.
    pub outcome: Outcome,
}

impl Receipt {
    pub(crate) fn new(hash: TxHash, block: BlockNumber, outcome: Outcome) -> Self {
        Self { hash, block, outcome }
    }
}

/// What a transaction in a block did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// What it asked.
    Done {
        /// The member that it made or changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<Box<Member>>,
    },
    /// Nothing but to use up its nonce: the rules do not allow what it asked, and it never takes effect.
    Refused(Refusal),
}

impl Outcome {
    /// The member that was made or changed, or the refusal.
    ///
    /// # Errors
    /// The refusal, as an error of the same kind and code.
    pub fn into_result(self) -> Result<Option<Member>, Error> {
        match self {
            Self::Done { member } => Ok(member.map(|member| *member)),
            Self::Refused(refusal) => Err(refusal.into()),
        }
    }
}

impl Outcome {
    /// Whether both say the same; what a refusal says beside its code may be worded anew.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(one), Self::Refused(another)) => {
                (&one.kind, &one.code) == (&another.kind, &another.code)
            }
            _ => self == other,
        }
    }
}

impl From<Result<Option<Member>, Error>> for Outcome {
    fn from(result: Result<Option<Member>, Error>) -> Self {
        match result {
            Ok(member) => Self::Done {
                member: member.map(Box::new),
            },
            Err(error) => Self::Refused(Refusal::from(&error)),
        }
    }
}

/// An error as it is written into a block, or sent to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    kind: String,
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Kinds by their names.
const KINDS: [(&str, ErrorKind); 12] = [
    ("invalid", ErrorKind::Invalid),
    ("unauthenticated", ErrorKind::Unauthenticated),
    ("forbidden", ErrorKind::Forbidden),
    ("not_found", ErrorKind::NotFound),
    ("too_large", ErrorKind::TooLarge),
    ("unsupported", ErrorKind::Unsupported),
    ("rate_limited", ErrorKind::RateLimited),
    ("overloaded", ErrorKind::Overloaded),
    ("timeout", ErrorKind::Timeout),
    ("unavailable", ErrorKind::Unavailable),
    ("broken", ErrorKind::Broken),
    ("internal", ErrorKind::Internal),
];

impl Refusal {
    /// Its stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind());
        Self {
            kind: kind.map_or("internal", |(name, _)| name).to_owned(),
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = KINDS.iter().find(|(name, _)| *name == refusal.kind);
        let error = Error::new(
            kind.map_or(ErrorKind::Internal, |(_, kind)| *kind),
            refusal.code,
            refusal.message,
        );
        match refusal.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
