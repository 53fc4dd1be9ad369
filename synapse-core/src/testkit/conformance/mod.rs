//! The behaviour suite: what every module must do, checked on yours.

mod cancellation;
mod claims;
mod embeddings;
mod lifecycle;
mod probe;
mod questions;
mod refusals;
mod replies;
mod report;
mod streaming;
mod subject;
mod wrapper;

use std::time::Duration;

pub use self::{
    probe::Probe,
    report::{Check, Outcome, Report},
    wrapper::conformance_of_wrapper,
};
use self::{questions::Questions, report::Record, subject::Subject};
use crate::InferenceModule;

/// Runs the behaviour suite on `module` with the default options.
///
/// Runs on a paused clock too, where nothing in the module works on threads of its own: there, waiting costs no time.
///
/// ```
/// use synapse_core::testkit::{self, Echo};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// testkit::conformance(Echo::new()).await.assert();
/// # });
/// ```
pub async fn conformance(module: impl InferenceModule) -> Report {
    Conformance::new().run(module).await
}

/// The behaviour suite with options of your own.
///
/// ```
/// use std::time::Duration;
/// use synapse_core::testkit::{Conformance, Echo};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let report = Conformance::new()
///     .timeout(Duration::from_secs(60))
///     .prompt("Name the planets of the solar system.")
///     .run(Echo::new())
///     .await;
/// assert!(report.passed());
/// println!("{report}");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Conformance {
    timeout: Duration,
    prompt: String,
    model: Option<String>,
}

impl Conformance {
    /// Ten seconds for each call, the first declared model, and a prompt that asks for several words.
    #[must_use]
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            prompt: "Count from one to ten, each number as a word.".to_owned(),
            model: None,
        }
    }

    /// How long each call, and each whole reply, may take before it counts as hung.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to ask. The answer must take several chunks of a module that streams.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Which model to ask, rather than the first that the module declares.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Runs every check, whatever the ones before it said, and leaves the module shut down.
    ///
    /// A check whose ground is missing (no model, no answer at all) is reported as not checked.
    pub async fn run(&self, module: impl InferenceModule) -> Report {
        let subject = Subject::new(module, self.timeout);
        let mut record = Record::default();
        subject.observe_metrics();
        if lifecycle::start(&subject, &mut record).await
            && let Some(capabilities) = claims::first(&subject, &mut record)
        {
            let title = format!("{} {}", capabilities.name, capabilities.version);
            record.set_title(title);
            lifecycle::health(&subject, &capabilities, &mut record).await;
            let questions = Questions::new(self, capabilities);
            if replies::check(&subject, &questions, &mut record).await {
                streaming::check(&subject, &questions, &mut record).await;
                embeddings::check(&subject, &questions, &mut record).await;
                refusals::check(&subject, &questions, &mut record).await;
                cancellation::check(&subject, &questions, &mut record).await;
            }
            claims::unchanged(&subject, &questions, &mut record);
            lifecycle::end(&subject, &questions, &mut record).await;
        }
        claims::metrics(&subject, &mut record);
        lifecycle::panics(&subject, &mut record);
        record.into_report()
    }
}

impl Default for Conformance {
    fn default() -> Self {
        Self::new()
    }
}
