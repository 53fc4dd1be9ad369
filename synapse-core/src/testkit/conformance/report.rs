//! What the suite found.

use std::fmt;

/// What the suite found: every check, and how it came out.
#[derive(Debug, Clone)]
#[must_use = "a report that nobody asserts on proves nothing"]
pub struct Report {
    title: String,
    checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    name: String,
    outcome: Outcome,
}

/// How a check came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    #[non_exhaustive]
    Failed {
        /// What the contract asks for.
        expected: String,
        /// What the module did.
        seen: String,
        /// What to do about it.
        advice: String,
    },
    /// It did not apply, for this reason.
    NotChecked(String),
}

impl Report {
    /// Every check, in the order in which it ran.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// How the check of this name came out.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.checks
            .iter()
            .find(|check| check.name == name)
            .map(Check::outcome)
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| matches!(check.outcome, Outcome::Failed { .. }))
    }

    /// Whether no check failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Panics with the whole report where a check failed.
    ///
    /// # Panics
    /// Where a check failed.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl Check {
    /// The check's stable name, in `snake_case`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it came out.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |wanted: fn(&Outcome) -> bool| self.checks.iter().filter(|check| wanted(&check.outcome)).count();
        writeln!(
            f,
            "conformance of {}: {} passed, {} failed, {} not checked",
            self.title,
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            count(|outcome| matches!(outcome, Outcome::NotChecked(_))),
        )?;
        for check in &self.checks {
            match &check.outcome {
                Outcome::Passed => writeln!(f, "  passed       {}", check.name)?,
                Outcome::NotChecked(why) => writeln!(f, "  not checked  {}: {why}", check.name)?,
                Outcome::Failed {
                    expected,
                    seen,
                    advice,
                } => {
                    writeln!(f, "  FAILED       {}", check.name)?;
                    writeln!(f, "    expected:  {expected}")?;
                    writeln!(f, "    seen:      {seen}")?;
                    writeln!(f, "    to do:     {advice}")?;
                }
            }
        }
        Ok(())
    }
}

/// What one check has to say of a module that failed it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    expected: String,
    seen: String,
    advice: &'static str,
}

pub(super) type Verdict = Result<(), Failure>;

impl Failure {
    pub(super) fn new(expected: impl Into<String>, seen: impl fmt::Display, advice: &'static str) -> Self {
        Self {
            expected: expected.into(),
            seen: seen.to_string(),
            advice,
        }
    }
}

/// The report as it is written.
#[derive(Debug, Default)]
pub(super) struct Record {
    title: Option<String>,
    checks: Vec<Check>,
}

impl Record {
    pub(super) fn set_title(&mut self, title: String) {
        self.title = Some(title);
    }

    pub(super) fn put(&mut self, name: impl Into<String>, verdict: Verdict) {
        let outcome = match verdict {
            Ok(()) => Outcome::Passed,
            Err(failure) => Outcome::Failed {
                expected: failure.expected,
                seen: failure.seen,
                advice: failure.advice.to_owned(),
            },
        };
        self.checks.push(Check {
            name: name.into(),
            outcome,
        });
    }

    pub(super) fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.checks.push(Check {
            name: name.into(),
            outcome: Outcome::NotChecked(why.into()),
        });
    }

    /// Adds what `other` found, its names after `prefix`.
    pub(super) fn absorb(&mut self, prefix: &str, other: Self) {
        self.checks.extend(other.checks.into_iter().map(|check| Check {
            name: format!("{prefix}{}", check.name),
            outcome: check.outcome,
        }));
    }

    pub(super) fn into_report(self) -> Report {
        Report {
            title: self.title.unwrap_or_else(|| "a module".to_owned()),
            checks: self.checks,
        }
    }
}
