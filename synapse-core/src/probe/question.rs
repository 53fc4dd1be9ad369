//! The questions.

use std::time::Duration;

use super::{Answer, Finding};
use crate::{Input, ModuleCapabilities};

/// One question, and what its answer is held against.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// A word for logs and tables: `chat`, `context`, `streaming`, `errors`, or one of your own.
    pub name: &'static str,
    /// What is asked.
    pub input: Input,
    /// How long its answer may take.
    pub limit: Duration,
}

impl Probe {
    /// What `answer` says about what was claimed.
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Vec<Finding> {
        let _ = answer;
        Vec::new()
    }
}

/// The questions that a member's capabilities give rise to, one after the other.
///
/// Mostly short chats as users send them; now and then one that is as long as the claimed context, one that must be
/// streamed, one that must be refused. Which comes when follows from `seed`, so that a run can be repeated; with a seed that
/// nobody else knows, nobody knows what comes.
#[derive(Debug, Clone)]
pub struct Questions {
    seed: u64,
}

impl Questions {
    /// Questions in an order that follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The `number`th question to a member with these capabilities; `None` where it claims nothing that can be asked.
    #[must_use]
    pub fn ask(&self, capabilities: &ModuleCapabilities, number: u64) -> Option<Probe> {
        let _ = (self.seed, capabilities, number);
        None
    }
}
