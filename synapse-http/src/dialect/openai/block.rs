//! One server-sent event, taken apart.

use std::borrow::Cow;

/// The fields of one block of lines.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    /// What the `event:` line says.
    pub(super) event: Option<&'a str>,
    /// The `data:` lines, joined with line feeds; `None` where there is none.
    pub(super) data: Option<Cow<'a, str>>,
}

impl<'a> Block<'a> {
    /// Reads a block; lines end with LF, CRLF or CR, and comments and other fields are skipped.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut block = Self::default();
        for line in text.split(['\n', '\r']) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "event" => block.event = Some(value),
                "data" => match &mut block.data {
                    None => block.data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push('\n');
                        data.push_str(value);
                    }
                },
                _ => {}
            }
        }
        block
    }
}
