//! Options of transcripts, as a program's configuration has them.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{Error, config::Configuration};

use super::{Settings, TranscriptLayer};

/// Prompts and answers, of which nothing is kept unless it is asked for here by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TranscriptsConfig {
    /// Keep what users write and what models answer, in the folder transcripts of the data directory.
    #[schemars(extend("x-flag" = "keep-prompts-and-answers", "x-restart" = true))]
    pub keep_prompts_and_answers: bool,
    /// Keep addresses of mail, what looks like a secret, and long numbers in them, too.
    #[schemars(extend("x-restart" = true))]
    pub unredacted: bool,
    /// Days that they are kept.
    #[schemars(range(min = 1, max = 3_650), extend("x-restart" = true))]
    pub days: u32,
    /// Bytes of one day, after which the rest of that day is not kept.
    #[schemars(range(min = 1_000, max = 1_000_000_000_000_u64), extend("x-restart" = true))]
    pub bytes_a_day: u64,
}

impl Default for TranscriptsConfig {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            keep_prompts_and_answers: false,
            unredacted: !settings.redacted,
            days: settings.days,
            bytes_a_day: settings.bytes_a_day,
        }
    }
}

impl TranscriptsConfig {
    /// The layer that keeps them in `directory`; none where they are not asked for, and then those of before are deleted
    /// there that are too old.
    ///
    /// # Errors
    /// As [`TranscriptLayer::open`].
    pub fn layer(&self, directory: &Path) -> Result<Option<TranscriptLayer>, Error> {
        let settings = Settings {
            days: self.days,
            bytes_a_day: self.bytes_a_day,
            redacted: !self.unredacted,
        };
        if !self.keep_prompts_and_answers {
            super::store::forget_old(directory, &settings)?;
            return Ok(None);
        }
        TranscriptLayer::open(directory, &settings).map(Some)
    }
}

impl Configuration for TranscriptsConfig {}
