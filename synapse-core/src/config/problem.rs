//! What is wrong with a configuration: all of it at once.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::Error;

/// So many problems are kept: whoever has more reads no further.
const MOST: usize = 100;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said, so it is the default.
    #[default]
    Default,
    /// A file, as a whole.
    Path(Arc<PathBuf>),
    /// A place in a file.
    File {
        /// The file.
        path: Arc<PathBuf>,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line, without its dashes.
    Flag(String),
}

/// Says it as compilers do: `validator.toml:3:5`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Path(path) => path.display().fmt(f),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    origin: Option<Origin>,
    key: Option<String>,
    message: String,
    nearest: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            origin: None,
            key: None,
            message: message.into(),
            nearest: None,
        }
    }

    pub(super) fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    pub(super) fn of(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn nearest(mut self, key: Option<impl Into<String>>) -> Self {
        self.nearest = key.map(Into::into);
        self
    }

    /// Where it is, where it is anywhere: what is missing is not.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The key, variable or flag that was likely meant.
    #[must_use]
    pub fn meant(&self) -> Option<&str> {
        self.nearest.as_deref()
    }

    pub(super) fn line(&self) -> Option<usize> {
        match &self.origin {
            Some(Origin::File { line, .. }) => Some(*line),
            _ => None,
        }
    }

    fn place(&self) -> (usize, usize) {
        match &self.origin {
            Some(Origin::File { line, column, .. }) => (*line, *column),
            Some(Origin::Path(_)) => (0, 0),
            _ => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, one to a line. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// All of them: first those of the file, in its order.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Its code is `bad_configuration`.
impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let what = match problems.0.as_slice() {
            [one] => format!("the configuration is wrong: {one}"),
            some => format!("the configuration is wrong in {} places:\n{problems}", some.len()),
        };
        Self::invalid("bad_configuration", what)
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Problem>);

impl Found {
    pub(super) fn push(&mut self, problem: Problem) {
        if self.0.len() < MOST {
            self.0.push(problem);
        } else if self.0.len() == MOST {
            self.0.push(Problem::new("and more: the rest is not listed"));
        }
    }

    pub(super) fn append(&mut self, more: Self) {
        for problem in more.0 {
            self.push(problem);
        }
    }

    /// Whether something is wrong with the option `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|problem| problem.key() == Some(key))
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Problem) -> bool) {
        self.0.retain(keep);
    }

    /// Fails with what was found, where something was.
    pub(super) fn into_result(mut self) -> Result<(), Problems> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(Problem::place);
        Err(Problems(self.0))
    }
}

/// Collects what is wrong across options that each are right.
#[derive(Debug, Default)]
pub struct Wrong {
    section: String,
    found: Vec<(String, String)>,
}

impl Wrong {
    /// Says what is wrong with the option `key`.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        let key = match &*self.section {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        };
        self.found.push((key, message.into()));
    }

    /// Looks into a section: keys are its own meanwhile.
    pub fn within(&mut self, section: &str, look: impl FnOnce(&mut Self)) {
        let outer = self.section.clone();
        if !self.section.is_empty() {
            self.section.push('.');
        }
        self.section.push_str(section);
        look(self);
        self.section = outer;
    }

    pub(super) fn into_found(self) -> Vec<(String, String)> {
        self.found
    }
}
