//! Flags, made of a schema.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use synapse_core::config::{Configuration, Loader, Schema, Setting};

use super::answer::questions;

const FILE: &str = "config";
const FILE_VARIABLE: &str = "SYNAPSE_CONFIG";

/// A program's command line: every option as a flag, `--config FILE`, and the questions `config check`, `config show`,
/// `config reference` and `config example`, which [`answer`](super::answer()) answers. A question's flags follow it: those
/// before it would be another's.
#[must_use]
pub fn command<T: Configuration>(command: Command) -> Command {
    flags::<T>(command)
        .args_conflicts_with_subcommands(true)
        .subcommand(questions::<T>())
}

/// The flags alone, such as for a further question of one's own.
#[must_use]
pub fn flags<T: Configuration>(command: Command) -> Command {
    let schema = Schema::of::<T>();
    let file = Arg::new(FILE).long(FILE).value_name("FILE").help(format!(
        "The file with the configuration, in TOML [env: {FILE_VARIABLE}]"
    ));
    let args: Vec<_> = schema
        .settings()
        .iter()
        .map(|setting| arg(&schema, setting))
        .collect();
    command.arg(file).args(args)
}

/// The same for a question to which only these sections matter. The help leaves the flags of the others out, which are taken
/// all the same: what a node is started with can be asked with, too.
#[must_use]
pub fn flags_of<T: Configuration>(command: Command, sections: &[&str]) -> Command {
    let schema = Schema::of::<T>();
    let others = schema
        .settings()
        .iter()
        .filter(|setting| !sections.contains(&setting.section()));
    others.fold(flags::<T>(command), |command, setting| {
        command.mut_arg(setting.flag(), |arg| arg.hide(true))
    })
}

/// What was given: a file, over it the environment, over it flags.
///
/// # Panics
/// Where the command line was not made by [`command`] or [`flags`].
#[must_use]
pub fn loader<T: Configuration>(matches: &ArgMatches) -> Loader<T> {
    let variables = std::env::vars_os().filter(|(name, _)| name != FILE_VARIABLE);
    let mut loader = Loader::<T>::new().environment(variables);
    let named = matches.get_one::<String>(FILE).map(OsString::from);
    if let Some(file) = named.or_else(|| std::env::var_os(FILE_VARIABLE)) {
        loader = loader.file(file);
    }
    let flags: Vec<_> = loader
        .schema()
        .settings()
        .iter()
        .map(|setting| setting.flag().to_owned())
        .collect();
    for flag in flags {
        if matches.value_source(&flag) == Some(ValueSource::CommandLine) {
            for text in matches.get_many::<String>(&flag).into_iter().flatten() {
                loader = loader.flag(&flag, text);
            }
        }
    }
    loader
}

/// The flag of an option. What it takes is checked with all else, so that every problem is told at once.
fn arg(schema: &Schema, setting: &Setting) -> Arg {
    let mut help = setting.doc().trim_end_matches('.').to_owned();
    if !setting.words().is_empty() {
        help.push_str(&format!(" [one of: {}]", setting.words().join(", ")));
    }
    match setting.default_text().as_deref() {
        // A switch is off and a list empty unless somebody says.
        Some("false" | "{}" | "[]") => {}
        Some(default) => help.push_str(&format!(" [default: {}]", default.trim_matches('"'))),
        None if setting.is_required() => help.push_str(" [required]"),
        None => {}
    }
    help.push_str(&format!(" [env: {}]", schema.variable(setting)));
    let arg = Arg::new(setting.flag().to_owned())
        .long(setting.flag().to_owned())
        .value_name(setting.value_name().to_owned())
        .help(help)
        .action(if setting.is_many() {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    let arg = match heading(schema, setting) {
        Some(heading) => arg.help_heading(heading),
        None => arg,
    };
    if setting.is_switch() {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    } else {
        arg.allow_negative_numbers(true)
    }
}

fn heading(schema: &Schema, setting: &Setting) -> Option<String> {
    let doc = schema.section_doc(setting.section());
    let first = doc.split(". ").next().unwrap_or_default().trim_end_matches('.');
    (!first.is_empty()).then(|| first.to_owned())
}
