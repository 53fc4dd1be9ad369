//! The file that has every option.

use std::fmt::Write as _;

use super::{Schema, Setting, write};

/// The width of a comment.
const WIDTH: usize = 100;

impl Schema {
    /// A file with every option, its explanation and its default. What has no default is commented out, unless it is
    /// required or marked as shown: that has an example.
    #[must_use]
    pub fn example(&self) -> String {
        let mut file = String::new();
        let _ = self.write_example(&mut file);
        file
    }

    fn write_example(&self, file: &mut String) -> std::fmt::Result {
        let mut section = "";
        for setting in &self.settings {
            if !file.is_empty() {
                file.push('\n');
            }
            let within = setting.section();
            if within != section {
                section = within;
                write_comment(file, self.section_doc(section))?;
                writeln!(file, "[{section}]")?;
            }
            write_comment(file, &setting.doc)?;
            if !setting.is_text() && !setting.is_switch() {
                write_comment(file, &format!("Takes {}.", setting.takes()))?;
            }
            writeln!(file, "{}", line(setting))?;
        }
        Ok(())
    }
}

fn line(setting: &Setting) -> String {
    let name = setting
        .key
        .rsplit_once('.')
        .map_or(&*setting.key, |(_, name)| name);
    let example = setting.example.as_ref().map(write::toml);
    match setting.default_text() {
        Some(text) => format!("{name} = {text}"),
        None if setting.required || setting.shown => {
            format!("{name} = {}", example.unwrap_or_else(|| "\"…\"".to_owned()))
        }
        None => format!("# {name} = {}", example.unwrap_or_else(|| "…".to_owned())),
    }
}

fn write_comment(file: &mut String, text: &str) -> std::fmt::Result {
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() > 1 && line.len() + 1 + word.len() > WIDTH {
                writeln!(file, "{line}")?;
                line = String::from("#");
            }
            write!(line, " {word}")?;
        }
        writeln!(file, "{line}")?;
    }
    Ok(())
}
