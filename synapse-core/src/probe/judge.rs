//! Whether an answer bears out what was claimed.

use std::time::Duration;

use super::{Answer, Claim, Finding, Probe, pace::AT_ONCE};
use crate::{Error, ErrorKind};

/// Fewer tokens than this may well come at once.
const TO_BE_STREAMED: u64 = 16;
/// Who answers sooner may well have all of it by then.
const A_LONG_WAIT: Duration = Duration::from_millis(200);

impl Probe {
    /// What `answer` says about what was claimed. What it cannot tell it does not say: a timeout, or no room, is no
    /// finding. The text itself is not looked at.
    ///
    /// | claim | broken by | kept by |
    /// | --- | --- | --- |
    /// | a model | `model_not_found` | a whole reply |
    /// | a context | a refusal for the prompt's length | a whole reply |
    /// | streaming | 16 tokens or more in one chunk; or in several, all within a millisecond, after 200 ms or more without any | several chunks over time |
    /// | errors | a reply | a refusal as the caller's fault |
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Vec<Finding> {
        let found = match &self.claim {
            Some(Claim::Errors) => return errors(self, answer).into_iter().collect(),
            Some(claim @ Claim::Context(_, tokens)) => {
                context(answer, *tokens).map(|verdict| held(claim.clone(), verdict))
            }
            Some(Claim::Streaming) => streaming(answer).map(|verdict| held(Claim::Streaming, verdict)),
            _ => None,
        };
        let model = self.input.model().ok().and_then(|model| {
            let verdict = served(model, answer)?;
            Some(held(Claim::Model(model.to_owned()), verdict))
        });
        model.into_iter().chain(found).collect()
    }

    /// Whether `answer` is what there was to get: a whole reply or, where the request had to be refused, the refusal. Who
    /// counts how often a member answers counts these.
    #[must_use]
    pub fn is_met_by(&self, answer: &Answer) -> bool {
        match (&self.claim, &answer.error) {
            (Some(Claim::Errors), error) => error.as_ref().is_some_and(refuses),
            (_, error) => error.is_none(),
        }
    }
}

/// Kept, or why not.
type Held = Result<(), String>;

fn held(claim: Claim, verdict: Held) -> Finding {
    match verdict {
        Ok(()) => Finding::kept(claim),
        Err(why) => Finding::broken(claim, why),
    }
}

fn served(model: &str, answer: &Answer) -> Option<Held> {
    match &answer.error {
        None => Some(Ok(())),
        Some(error) if error.code() == "model_not_found" => {
            Some(Err(format!("{model} is claimed, and asked for it there is none")))
        }
        Some(_) => None,
    }
}

fn context(answer: &Answer, tokens: u32) -> Option<Held> {
    match &answer.error {
        None => Some(Ok(())),
        Some(error) if is_about_length(error) => Some(Err(format!(
            "a prompt of half of {tokens} tokens was refused: {}",
            shortened(error.message())
        ))),
        Some(_) => None,
    }
}

fn streaming(answer: &Answer) -> Option<Held> {
    let (first, spread) = (answer.first_content?, answer.spread()?);
    if answer.error.is_some() || answer.tokens() < TO_BE_STREAMED {
        return None;
    }
    let tokens = answer.tokens();
    if answer.chunks < 2 {
        return Some(Err(format!("some {tokens} tokens came in one piece")));
    }
    if spread > AT_ONCE {
        return Some(Ok(()));
    }
    (first >= A_LONG_WAIT).then(|| {
        Err(format!(
            "some {tokens} tokens came at once, after {first:?} without any"
        ))
    })
}

fn errors(probe: &Probe, answer: &Answer) -> Option<Finding> {
    match &answer.error {
        None => {
            let model = probe.input.model().unwrap_or_default();
            let why = format!("it answered a request for {model}, which it does not claim to serve");
            Some(Finding::broken(Claim::Errors, why))
        }
        Some(error) => refuses(error).then(|| Finding::kept(Claim::Errors)),
    }
}

/// Whether an error says that the request is wrong.
fn refuses(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::TooLarge
    )
}

/// Whether an error says that a prompt is too long, in the words of the servers that there are.
fn is_about_length(error: &Error) -> bool {
    if error.kind() == ErrorKind::TooLarge || error.code() == "context_length_exceeded" {
        return true;
    }
    if !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) {
        return false;
    }
    let said = error.message().to_ascii_lowercase();
    let of_length = ["too long", "context", "exceed", "maximum"];
    said.contains("context") && of_length.iter().filter(|word| said.contains(**word)).count() > 1
        || said.contains("prompt is too long")
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
