//! What a dialect found in a body: byte ranges and a few numbers, not copies.

use std::ops::Range;

use crate::Params;

/// What a dialect found in a request's body.
///
/// Fields are byte ranges of the body, under the names that the dialect gives them; [`Params`] are read out, since
/// every layer asks for them. Written by a [`Dialect`](crate::Dialect), read by layers through [`Input`](crate::Input).
#[derive(Debug, Clone, Default)]
pub struct View {
    model: Option<Box<str>>,
    params: Params,
    fields: Vec<(&'static str, Range<usize>)>,
}

impl View {
    /// A view with nothing in it, as of a body that the dialect does not read.
    #[must_use]
    pub fn new(model: Option<&str>, params: Params) -> Self {
        Self {
            model: model.map(Into::into),
            params,
            fields: Vec::new(),
        }
    }

    /// The same, knowing that the value of `name` lies at `range` of the body.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<(&'static str, Range<usize>)>) -> Self {
        self.fields = fields;
        self
    }

    /// The model that the body names.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Sampling, limits and streaming.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Where the value of a known field lies in the body.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Range<usize>> {
        self.fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, range)| range.clone())
    }
}
