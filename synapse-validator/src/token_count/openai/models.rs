//! Which of OpenAI's models has which vocabulary.

use super::OpenAiVocabulary::{self, Cl100kBase, O200kBase};

/// Names, and beginnings of names where a `*` follows; of several that fit, the longest counts.
pub(in crate::token_count) const PATTERNS: &[(&str, OpenAiVocabulary)] = &[
    ("chatgpt-4o*", O200kBase),
    ("codex-mini*", O200kBase),
    ("ft:gpt-3.5*", Cl100kBase),
    ("ft:gpt-4*", Cl100kBase),
    ("ft:gpt-4.1*", O200kBase),
    ("ft:gpt-4o*", O200kBase),
    ("ft:o4-mini*", O200kBase),
    ("gpt-3.5*", Cl100kBase),
    ("gpt-35-turbo*", Cl100kBase),
    ("gpt-4", Cl100kBase),
    ("gpt-4-*", Cl100kBase),
    ("gpt-4.1*", O200kBase),
    ("gpt-4.5*", O200kBase),
    ("gpt-4o*", O200kBase),
    ("gpt-5*", O200kBase),
    ("gpt-oss*", O200kBase),
    ("o1", O200kBase),
    ("o1-*", O200kBase),
    ("o3", O200kBase),
    ("o3-*", O200kBase),
    ("o4-mini*", O200kBase),
    ("text-embedding-3*", Cl100kBase),
    ("text-embedding-ada-002*", Cl100kBase),
];
