//! What was found, in words that an operator can act on.

use std::fmt;

use serde::Serialize;
use synapse_core::{Error, NodeId};

/// What a [`Preflight`](super::Preflight) found: a table where it is displayed, JSON where it is serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whose set-up it is.
    pub node: NodeId,
    /// Where validators would ask it.
    pub advertised: String,
    /// What was looked at, in the order in which a request meets it.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// A stable word: see [the list](super::Preflight#what-is-looked-at).
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was seen.
    pub text: String,
    /// What the operator can do about it.
    pub hint: Option<String>,
}

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// As it must be.
    Passed,
    /// Validators would hold it against the miner, or could not ask it at all.
    Failed,
    /// It works, and may not for long, or not everywhere.
    Warning,
    /// It could not be looked at, or nobody asked for it.
    Skipped,
}

impl Report {
    pub(super) fn new(node: NodeId, advertised: String) -> Self {
        Self {
            node,
            advertised,
            checks: Vec::new(),
        }
    }

    /// Whether nothing failed: what a program's exit status is made of.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The check of this name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// What failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.status == Status::Failed)
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }
}

impl Check {
    pub(super) fn passed(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Status::Passed, text)
    }

    pub(super) fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Status::Failed, text)
    }

    pub(super) fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Status::Warning, text)
    }

    pub(super) fn skipped(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Status::Skipped, text)
    }

    /// It failed with this error.
    pub(super) fn of(name: &'static str, error: &Error) -> Self {
        let mut check = Self::failed(name, format!("{} ({})", error.message(), error.code()));
        check.hint = error.hint().map(str::to_owned);
        check
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn new(name: &'static str, status: Status, text: impl Into<String>) -> Self {
        Self {
            name,
            status,
            text: text.into(),
            hint: None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Warning => "warning",
            Self::Skipped => "skipped",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {}", self.node, self.advertised)?;
        for check in &self.checks {
            writeln!(f, "{:<8} {:<13} {}", check.status, check.name, check.text)?;
            if let Some(hint) = &check.hint {
                writeln!(f, "{:22} {hint}", "")?;
            }
        }
        match self.failed().count() {
            0 => write!(f, "nothing that was looked at would fail"),
            1 => write!(f, "1 check failed"),
            failed => write!(f, "{failed} checks failed"),
        }
    }
}
