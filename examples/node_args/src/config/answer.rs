//! What a program says about its configuration.

use clap::{ArgMatches, Command};
use synapse_core::{
    Error,
    config::{Configuration, Schema},
};

use super::flags::{flags, loader};
use crate::say;

/// The questions.
pub(super) fn questions<T: Configuration>() -> Command {
    Command::new("config")
        .about("Check the configuration, show it, or explain it")
        .subcommand_required(true)
        .subcommand(flags::<T>(
            Command::new("check").about("Say everything that is wrong with it, or ok"),
        ))
        .subcommand(flags::<T>(
            Command::new("show").about("Print every option, what it is, and who said so"),
        ))
        .subcommand(Command::new("reference").about("Print a page that explains every option, in Markdown"))
        .subcommand(Command::new("example").about("Print a file with every option and its default"))
}

/// Answers a question about the configuration on standard output; `None` where nobody asked any.
///
/// # Errors
/// What is wrong with the configuration.
#[must_use]
pub fn answer<T: Configuration>(program: &str, matches: &ArgMatches) -> Option<Result<(), Error>> {
    let (question, matches) = matches.subcommand_matches("config")?.subcommand()?;
    let schema = Schema::of::<T>();
    match question {
        "check" => Some(check::<T>(matches)),
        "show" => Some(show::<T>(matches)),
        "reference" => Some(say(&schema.reference(&format!("Options of the {program}")))),
        _ => Some(say(&schema.example())),
    }
}

fn check<T: Configuration>(matches: &ArgMatches) -> Result<(), Error> {
    loader::<T>(matches).load()?;
    say("ok\n")
}

fn show<T: Configuration>(matches: &ArgMatches) -> Result<(), Error> {
    let loaded = loader::<T>(matches).load()?;
    let mut text = String::new();
    for option in loaded.effective() {
        let (key, origin) = (option.setting.key(), option.origin);
        match option.value {
            Some(value) => text.push_str(&format!("{key} = {value}  # {origin}\n")),
            None => text.push_str(&format!("# {key}  # {origin}\n")),
        }
    }
    say(&text)
}
