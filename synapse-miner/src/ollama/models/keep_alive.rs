//! How long a model stays in memory.

use std::time::Duration;

use serde_json::Value;

/// How long a model stays in memory after its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// This long, to the second.
    For(Duration),
    /// Until it is unloaded, or its memory is needed for another one.
    Forever,
}

impl KeepAlive {
    /// As Ollama reads it: seconds, of which a negative number has no end.
    pub(in crate::ollama) fn to_json(self) -> Value {
        match self {
            Self::For(wait) => wait.as_secs().into(),
            Self::Forever => (-1).into(),
        }
    }
}
