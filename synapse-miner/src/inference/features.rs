//! What each release of an engine is known to do.
//!
//! A row that was *probed* is what a test found of a running server, and that test fails where it no longer holds; one that is
//! *documented* says what the engine's own documentation says, and nobody here ran it. The modules ask the row that fits the
//! server which they found: the newest one that is not newer than it, and the newest of all where it does not say which release
//! it is.

use std::fmt::{self, Write as _};

use super::{llama_server, vllm};

/// The most alternatives that a token is sent with.
pub(super) const TOP_LOGPROBS: u8 = 20;

/// Something that an engine may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// Replies as they are made, ended by `[DONE]`.
    Streaming,
    /// The count of tokens at the end of a stream, where `stream_options.include_usage` asks for it.
    Usage,
    /// `logprobs` with `top_logprobs`.
    Logprobs,
    /// Ids of the tokens of a reply.
    TokenIds,
    /// Log-probabilities of the prompt's own tokens.
    PromptLogprobs,
    /// Calls of tools.
    Tools,
    /// `response_format` with a JSON schema that the reply keeps to.
    JsonSchema,
    /// A prompt longer than the context is refused, never cut.
    ContextRefused,
    /// A caller who leaves frees the place that he had.
    Cancel,
    /// `/tokenize` and `/detokenize`.
    Tokenize,
    /// Which places there are, and which of them are taken.
    Slots,
    /// A page of metrics.
    Metrics,
}

/// Whether an engine does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// It does.
    Yes,
    /// It does, where it is started or asked in this way.
    With(&'static str),
    /// It does not.
    No,
}

/// How a row came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// A test asks a running server, in this way.
    Probed(&'static str),
    /// The engine's documentation and sources say so; it was not run.
    Documented,
}

/// What a release of an engine does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Release {
    /// The engine, as [`ModuleCapabilities`](synapse_core::ModuleCapabilities) names it.
    pub engine: &'static str,
    /// The release, as the engine numbers them.
    pub version: &'static str,
    /// How this is known.
    pub known: Known,
    /// The most alternatives that it sends with a token.
    pub top_logprobs: u8,
    features: &'static [(Feature, Support)],
}

/// Every release that is known, the older first.
pub const RELEASES: &[Release] = &[
    Release {
        engine: "llama-server",
        version: "b11549",
        known: Known::Probed("the package xllamacpp 2026.10.11549, SmolLM2-135M-Instruct"),
        top_logprobs: TOP_LOGPROBS,
        features: &[
            (Feature::Chat, Support::Yes),
            (Feature::Completions, Support::Yes),
            (Feature::Embeddings, Support::With("`--embeddings`")),
            (Feature::Streaming, Support::Yes),
            (Feature::Usage, Support::Yes),
            (Feature::Logprobs, Support::Yes),
            (Feature::TokenIds, Support::With("`logprobs`: each has its `id`")),
            (Feature::PromptLogprobs, Support::No),
            (
                Feature::Tools,
                Support::With("a model whose template has tools, which the probed one lacks"),
            ),
            (Feature::JsonSchema, Support::Yes),
            (Feature::ContextRefused, Support::Yes),
            (Feature::Cancel, Support::Yes),
            (Feature::Tokenize, Support::Yes),
            (Feature::Slots, Support::With("anything but `--no-slots`")),
            (Feature::Metrics, Support::With("`--metrics`")),
        ],
    },
    Release {
        engine: "vllm",
        version: "0.32.0",
        known: Known::Documented,
        top_logprobs: TOP_LOGPROBS,
        features: &[
            (Feature::Chat, Support::Yes),
            (Feature::Completions, Support::Yes),
            (Feature::Embeddings, Support::With("a pooling model")),
            (Feature::Streaming, Support::Yes),
            (Feature::Usage, Support::Yes),
            (
                Feature::Logprobs,
                Support::With("`--max-logprobs`, 20 unless set"),
            ),
            (
                Feature::TokenIds,
                Support::With("`return_token_ids`: `token_ids` of a choice"),
            ),
            (Feature::PromptLogprobs, Support::With("`prompt_logprobs`")),
            (
                Feature::Tools,
                Support::With("`--enable-auto-tool-choice` and a `--tool-call-parser`"),
            ),
            (Feature::JsonSchema, Support::Yes),
            (Feature::ContextRefused, Support::Yes),
            (Feature::Cancel, Support::Yes),
            (Feature::Tokenize, Support::Yes),
            (Feature::Slots, Support::No),
            (Feature::Metrics, Support::Yes),
        ],
    },
];

impl Release {
    /// What is known of this engine's release; `None` of an engine that nothing is known of.
    #[must_use]
    pub fn of(engine: &str, version: &str) -> Option<&'static Self> {
        let mut rows = RELEASES.iter().filter(|row| row.engine == engine).rev();
        let newest = rows.clone().next();
        match numbers(version) {
            Some(found) => rows
                .find(|row| numbers(row.version) <= Some(found.clone()))
                .or(newest),
            None => newest,
        }
    }

    /// Whether it does this.
    #[must_use]
    pub fn support(&self, feature: Feature) -> Support {
        let row = self.features.iter().find(|(known, _)| *known == feature);
        row.map_or(Support::No, |(_, support)| *support)
    }

    /// What is known of each feature.
    pub fn features(&self) -> impl Iterator<Item = (Feature, Support)> {
        self.features.iter().copied()
    }
}

/// A release's numbers: of `b11549-1a2b3c` the first, of `0.32.0rc1` the first two and what the third begins with; `None`
/// where it has none, or is a build that nobody numbered.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let version = version.trim_start_matches(['b', 'v']);
    let version = version.split(['-', '+']).next()?;
    let parts = version.split('.').map_while(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    });
    let parts: Vec<u64> = parts.collect();
    parts.iter().any(|part| *part > 0).then_some(parts)
}

/// All of it as a page of the book, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# What engines do\n\nWhat is known of each release that a module of `synapse_miner::inference` speaks to, and how. \
        It is written by `SYNAPSE_WRITE_REFERENCE=1 cargo test -p engines --test llama_server_features page`.\n",
    );
    for release in RELEASES {
        let known = match release.known {
            Known::Probed(how) => format!("Probed by a test: {how}."),
            Known::Documented => "From its documentation and sources, not run.".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {} {}\n\n{known}\n\n| what | whether |\n| --- | --- |\n",
            release.engine, release.version
        );
        for (feature, support) in release.features() {
            let _ = writeln!(page, "| {feature} | {support} |");
        }
    }
    page.push_str(
        "\n## What no engine is asked\n\nA part of a message that names an address instead of holding its data (`image_url`, \
        `audio_url`, `video_url`, `input_audio`, `file`) is refused with `remote_media`: the engine would fetch it from the \
        operator's own network. Only `data:` goes through. Other fields of an engine's own travel as they are, but for these, \
        where they are not `null`:\n",
    );
    for (engine, reserved) in [("llama-server", llama_server::RESERVED), ("vllm", vllm::RESERVED)] {
        let _ = write!(page, "\n| {engine} | what becomes of it |\n| --- | --- |\n");
        for field in reserved {
            let _ = writeln!(page, "{field}");
        }
    }
    page
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "chat",
            Self::Completions => "completions of a text",
            Self::Embeddings => "embeddings",
            Self::Streaming => "streaming",
            Self::Usage => "the count of tokens at a stream's end",
            Self::Logprobs => "log-probabilities",
            Self::TokenIds => "ids of a reply's tokens",
            Self::PromptLogprobs => "log-probabilities of the prompt",
            Self::Tools => "tools",
            Self::JsonSchema => "JSON by a schema",
            Self::ContextRefused => "a prompt past the context is refused",
            Self::Cancel => "a caller who leaves frees his place",
            Self::Tokenize => "tokens of a text and back",
            Self::Slots => "its places, and which are taken",
            Self::Metrics => "a page of metrics",
        })
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::With(how) => write!(f, "with {how}"),
            Self::No => f.write_str("no"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_found_by_its_number() {
        for (engine, version, row) in [
            ("llama-server", "b11549-1a2b3c", "b11549"),
            ("llama-server", "b99999-1a2b3c", "b11549"),
            // Older than any that is known, or of no number: the closest there is.
            ("llama-server", "b9000-1a2b3c", "b11549"),
            ("llama-server", "b0-unknown", "b11549"),
            ("vllm", "0.33.1rc1.dev7+g1a2b", "0.32.0"),
        ] {
            let found = Release::of(engine, version).map(|release| release.version);
            assert_eq!(found, Some(row), "{engine} {version}");
        }
        assert!(Release::of("other", "1").is_none());
        assert_eq!(numbers("0.33.1rc1.dev7+g1"), Some(vec![0, 33, 1]));
        assert_eq!(numbers("b0-unknown"), None);
    }
}
