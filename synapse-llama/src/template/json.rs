//! The filter `tojson` as Hugging Face defines it: Python's `json.dumps` without escaping what isn't ASCII.

use std::io::{Result as IoResult, Write};

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// minijinja's own filter escapes `<`, `>`, `&` and `'` for HTML, and a model would see that.
#[expect(
    clippy::needless_pass_by_value,
    reason = "filters are called with their arguments' values"
)]
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    // Both are what is done anyway.
    let _: Option<bool> = options.get("ensure_ascii")?;
    let _: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let compact = separators.is_some_and(|pair| pair.iter().all(|text| text.trim() == text));
    match indent {
        Some(width) => write(
            value,
            PrettyFormatter::with_indent(" ".repeat(width.min(16)).as_bytes()),
        ),
        None if compact => write(value, CompactFormatter),
        None => write(value, Spaced),
    }
}

fn write(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let failed = || Error::new(ErrorKind::InvalidOperation, "a value can't be written as JSON");
    let mut bytes = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .map_err(|error| failed().with_source(error))?;
    String::from_utf8(bytes).map_err(|error| failed().with_source(error))
}

/// Python's default: a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> IoResult<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> IoResult<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> IoResult<()> {
        writer.write_all(b": ")
    }
}
