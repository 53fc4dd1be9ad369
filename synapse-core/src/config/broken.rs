//! What is said of a file that is no TOML.

use std::{path::PathBuf, sync::Arc};

use super::{Origin, Problem};

/// What is wrong, where, and of which key, as far as its line tells.
pub(super) fn broken_at(path: &Arc<PathBuf>, text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let origin = origin_at(path, text, start);
    let line = line_of(text, &origin);
    let why = match error.message() {
        DUPLICATE if line.starts_with('[') => SECTION_TWICE,
        DUPLICATE => "this option comes twice",
        _ if line.ends_with('=') => "its value is missing",
        // What it says next is what quotes it would take.
        why if why.starts_with("string values must be quoted") => "a text takes quotes",
        why => why,
    };
    let problem = Problem::new(why).at(origin.clone());
    match key_of(text, &origin) {
        Some(key) => problem.of(key),
        None => problem,
    }
}

/// Whether what is wrong may make other lines mean something else.
pub(super) fn breaks_structure(text: &str, problem: &Problem) -> bool {
    let Some(origin) = problem.origin() else {
        return true;
    };
    let line = line_of(text, origin);
    let is_header = line.starts_with('[') && problem.message() != SECTION_TWICE;
    is_header || line.contains("\"\"\"") || line.contains("'''")
}

/// The place of a byte.
pub(super) fn origin_at(path: &Arc<PathBuf>, text: &str, byte: usize) -> Origin {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    Origin::File {
        path: path.clone(),
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    }
}

const DUPLICATE: &str = "duplicate key";
const SECTION_TWICE: &str = "this section comes twice";

fn line_of<'a>(text: &'a str, origin: &Origin) -> &'a str {
    match origin {
        Origin::File { line, .. } => text.lines().nth(line - 1).unwrap_or_default().trim(),
        _ => "",
    }
}

/// The key that the line is about, under the last header above it.
fn key_of(text: &str, origin: &Origin) -> Option<String> {
    let Origin::File { line: at, .. } = origin else {
        return None;
    };
    let section_of = |line: &str| {
        let name = line.trim().strip_prefix('[')?.trim_start_matches('[');
        Some(plain(name.split([']', '#']).next()?)?.to_owned())
    };
    let line = line_of(text, origin);
    if line.starts_with('[') {
        return section_of(line);
    }
    let key = plain(line.split_once('=')?.0)?;
    let above: Vec<_> = text.lines().take(*at).collect();
    let section = above.iter().rev().find(|line| line.trim_start().starts_with('['));
    match section {
        Some(section) => Some(format!("{}.{key}", section_of(section)?)),
        None => Some(key.to_owned()),
    }
}

/// A name, where it is one that needs no quotes.
fn plain(name: &str) -> Option<&str> {
    let name = name.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.len() <= 128 && name.chars().all(is_plain)).then_some(name)
}
