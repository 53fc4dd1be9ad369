//! Lines and columns for a terminal.

use std::fmt::Write as _;

use synapse_core::plain;

/// What a program shows: lines of text and tables, in order.
#[derive(Debug, Clone, Default)]
pub struct Page(Vec<Line>);

#[derive(Debug, Clone)]
enum Line {
    /// Cut where the terminal ends.
    Cut(Vec<Span>),
    /// Goes on in the next one.
    Wrapped(Span),
}

/// A piece of text with one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    look: Look,
}

/// What a text is to look like, by what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Look {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Not as it should be.
    Bad,
}

impl Span {
    /// Text that may be anybody's: what would move the cursor, change colours or turn the line is left out.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: plain(text.as_ref()),
            look: Look::Plain,
        }
    }

    /// The same with this look.
    #[must_use]
    pub fn look(self, look: Look) -> Self {
        Self { look, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Span {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl Page {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more line.
    pub fn line(&mut self, spans: impl IntoIterator<Item = impl Into<Span>>) {
        self.0
            .push(Line::Cut(spans.into_iter().map(Into::into).collect()));
    }

    /// One more text that is to be read to its end, over as many lines as it takes.
    pub fn text(&mut self, span: impl Into<Span>) {
        self.0.push(Line::Wrapped(span.into()));
    }

    /// One more table.
    pub fn table<const COLUMNS: usize>(&mut self, table: Table<COLUMNS>) {
        self.0.extend(table.into_lines().into_iter().map(Line::Cut));
    }

    /// As text: with colours or without, each line cut or wrapped at `width` where there is one.
    #[must_use]
    pub fn render(&self, colours: bool, width: Option<usize>) -> String {
        let mut out = String::new();
        let width = width.unwrap_or(usize::MAX);
        for line in &self.0 {
            match line {
                Line::Cut(spans) => render(&mut out, spans, colours, width),
                Line::Wrapped(Span { text, look }) => {
                    for part in wrapped(text, width) {
                        render(&mut out, &[Span::new(part).look(*look)], colours, width);
                    }
                }
            }
        }
        out
    }
}

/// One line, cut at `width`.
fn render(out: &mut String, line: &[Span], colours: bool, width: usize) {
    let mut left = width;
    for Span { text, look } in trimmed(line) {
        let long = text.chars().count() > left;
        let shown: String = match long {
            true if left > 0 => text.chars().take(left - 1).chain(['…']).collect(),
            _ => text.chars().take(left).collect(),
        };
        left = left.saturating_sub(shown.chars().count());
        match look.code().filter(|_| colours && !shown.trim().is_empty()) {
            // Writing to a string cannot fail.
            Some(code) => _ = write!(out, "\x1b[{code}m{shown}\x1b[0m"),
            None => out.push_str(&shown),
        }
    }
    out.push('\n');
}

/// A text as lines of `width`, broken between words, and within one that is longer than a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for letter in word.chars() {
            if used == width.max(1) {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(letter);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

impl Look {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("1"),
            Self::Good => Some("32"),
            Self::Odd => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A line without the blanks at its end.
fn trimmed(line: &[Span]) -> Vec<Span> {
    let mut line = line.to_vec();
    while let Some(last) = line.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        line.pop();
    }
    line
}

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Column {
    /// Words: on the left.
    Words(&'static str),
    /// Numbers: on the right.
    Numbers(&'static str),
}

/// Rows under a heading, each column as wide as its widest cell.
#[derive(Debug, Clone)]
pub struct Table<const COLUMNS: usize> {
    columns: [Column; COLUMNS],
    rows: Vec<[Span; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: [Column; COLUMNS]) -> Self {
        let heading = columns.map(|column| match column {
            Column::Words(name) | Column::Numbers(name) => Span::new(name).look(Look::Heading),
        });
        Self {
            columns,
            rows: vec![heading],
        }
    }

    /// One more row.
    pub fn row(&mut self, row: [Span; COLUMNS]) {
        self.rows.push(row);
    }

    fn into_lines(self) -> Vec<Vec<Span>> {
        let widest = |column: usize| self.rows.iter().map(|row| row[column].width()).max();
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| widest(column).unwrap_or(0));
        let line = |row: [Span; COLUMNS]| {
            let mut line = Vec::new();
            for ((span, column), width) in row.into_iter().zip(self.columns).zip(widths) {
                let blanks = Span::new(" ".repeat(width - span.width()));
                line.push(Span::new("  "));
                match column {
                    Column::Words(_) => line.extend([span, blanks]),
                    Column::Numbers(_) => line.extend([blanks, span]),
                }
            }
            line
        };
        self.rows.into_iter().map(line).collect()
    }
}
