//! What a request asks for.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// What a request asks for: one of the names below, or a name of your own.
///
/// ```
/// use synapse_core::Task;
/// const TRANSCRIBE: Task = Task::named("transcribe");
/// assert_ne!(TRANSCRIBE, Task::CHAT);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Task(Cow<'static, str>);

impl Task {
    /// A conversation in, the next message out.
    pub const CHAT: Self = Self::named("chat");
    /// A text in, its continuation out.
    pub const TEXT_COMPLETION: Self = Self::named("text_completion");
    /// Texts in, one vector each out.
    pub const EMBEDDINGS: Self = Self::named("embeddings");
    /// A query and documents in, their relevance out.
    pub const RERANK: Self = Self::named("rerank");
    /// Tensors in, tensors out.
    pub const INFER: Self = Self::named("infer");
    /// An audit asks for what a commitment covers.
    pub const REVEAL: Self = Self::named("reveal");

    /// A task with a name of your own.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A task whose name is only known at run time.
    #[must_use]
    pub fn from_name(name: String) -> Self {
        Self(Cow::Owned(name))
    }

    /// The task's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.0)
    }
}
