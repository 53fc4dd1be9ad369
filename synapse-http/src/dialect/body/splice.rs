//! Edits put into a body, every other byte as it was.

use std::ops::Range;

use bytes::Bytes;
use synapse_core::{Error, View};

/// Values to replace and to add.
pub(in crate::dialect) struct Splice<'a> {
    view: &'a View,
    replaced: Vec<(Range<usize>, String)>,
    added: Vec<(&'static str, String)>,
}

impl<'a> Splice<'a> {
    pub(in crate::dialect) fn new(view: &'a View) -> Self {
        Self {
            view,
            replaced: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Replaces a name, quoted.
    pub(in crate::dialect) fn set_text(&mut self, name: &'static str, text: &str) -> Result<(), Error> {
        let quoted = serde_json::to_string(text).map_err(|error| {
            Error::internal("render_failed", "a name could not be written").with_source(error)
        })?;
        self.set(name, quoted);
        Ok(())
    }

    /// Replaces the value of a field of the body, or adds the field.
    pub(in crate::dialect) fn set(&mut self, name: &'static str, value: String) {
        if !self.replace(name, value.clone()) {
            self.added.push((name, value));
        }
    }

    /// Replaces the value of a field of any level; `false` where there is none.
    pub(in crate::dialect) fn replace(&mut self, name: &str, value: String) -> bool {
        let range = self.view.field(name);
        let known = range.is_some();
        self.replaced.extend(range.map(|range| (range, value)));
        known
    }

    /// Adds a field to the body.
    pub(in crate::dialect) fn add(&mut self, name: &'static str, value: String) {
        self.added.push((name, value));
    }

    /// Puts `text` where `range` is; an empty range takes nothing away.
    pub(in crate::dialect) fn put(&mut self, range: Range<usize>, text: String) {
        self.replaced.push((range, text));
    }

    /// The body with all of it.
    pub(in crate::dialect) fn apply(mut self, body: &Bytes) -> Result<Bytes, Error> {
        let foreign = || Error::internal("view_mismatch", "a body was edited with the view of another one");
        let open = body.iter().position(|byte| *byte == b'{').ok_or_else(foreign)? + 1;
        let rest = body[open..].trim_ascii_start();
        let mut prefix = Vec::new();
        for (name, value) in &self.added {
            if !prefix.is_empty() {
                prefix.push(b',');
            }
            prefix.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
        }
        if !prefix.is_empty() && rest.first() != Some(&b'}') {
            prefix.push(b',');
        }
        self.replaced.sort_by_key(|(range, _)| range.start);
        let grown: usize = self.replaced.iter().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(body.len() + prefix.len() + grown);
        out.extend_from_slice(&body[..open]);
        out.extend_from_slice(&prefix);
        let mut at = open;
        for (range, value) in &self.replaced {
            out.extend_from_slice(body.get(at..range.start).ok_or_else(foreign)?);
            out.extend_from_slice(value.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(body.get(at..).ok_or_else(foreign)?);
        Ok(out.into())
    }
}
