//! The page that explains every option.

use std::fmt::Write as _;

use super::{Schema, Setting};

impl Schema {
    /// A page in Markdown that explains every option.
    #[must_use]
    pub fn reference(&self, title: &str) -> String {
        let mut page = format!(
            "# {title}\n\n\
             A file in TOML (`--config FILE`) sets these options, over it environment variables, over them flags. \
             Names that nobody knows are refused. A length of time is written `30s`, `250ms`, `5m`, `2h`, or as a bare \
             number of seconds. What needs a restart is read again like all else, and takes effect only when the program \
             starts.\n"
        );
        let _ = self.write_reference(&mut page);
        page
    }

    fn write_reference(&self, page: &mut String) -> std::fmt::Result {
        let mut section = "";
        for setting in &self.settings {
            let within = setting.section();
            if within != section {
                section = within;
                write!(page, "\n## `[{section}]`\n")?;
                let doc = self.section_doc(section);
                if !doc.is_empty() {
                    write!(page, "\n{doc}\n")?;
                }
            }
            self.write_setting(page, setting)?;
        }
        Ok(())
    }

    fn write_setting(&self, page: &mut String, setting: &Setting) -> std::fmt::Result {
        write!(page, "\n### `{}`\n\n{}\n\n", setting.key, setting.doc)?;
        writeln!(page, "- takes {}", setting.takes())?;
        match setting.default_text() {
            Some(text) => writeln!(page, "- default: `{text}`")?,
            None if setting.required => writeln!(page, "- required")?,
            None => writeln!(page, "- default: none")?,
        }
        let many = if setting.is_many() { ", once for each" } else { "" };
        writeln!(
            page,
            "- flag: `--{}`{many}; variable: `{}`",
            setting.flag,
            self.variable(setting)
        )?;
        if setting.restart {
            writeln!(page, "- needs a restart")?;
        }
        if setting.secret {
            writeln!(page, "- secret: it is never shown")?;
        }
        Ok(())
    }
}
