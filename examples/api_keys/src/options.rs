//! What the program is told to do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use synapse_core::{Allowance, KeyId, Micros, config::Period};

/// Make, list and revoke the API keys of a gateway.
///
/// A gateway that runs with the same directory sees each change at its next request. A key is printed once, when it is made;
/// what is kept is a hash of it. Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The directory of keys, the gateway's.
    #[arg(long, global = true, value_name = "DIR", default_value = "./api-keys")]
    pub(crate) data_dir: PathBuf,
    /// Print JSON, failures too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key, and print it, this once; its id goes to standard error.
    Create(Box<Create>),
    /// List all keys.
    List,
    /// Show a key, but for the key itself.
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Revoke keys, at once and for good, and print the id of each once it is.
    Revoke {
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Whose key it is: the account that its requests are counted against.
    #[arg(long, value_name = "NAME")]
    pub(crate) caller: String,
    /// The models that it is for, between commas; all where this is left out.
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub(crate) models: Option<Vec<String>>,
    /// For how long it is good, such as 30d or 12h; until it is revoked where this is left out.
    #[arg(long, value_name = "PERIOD")]
    pub(crate) expires: Option<Period>,
    /// What to remember of it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) allowance: AllowanceArgs,
}

/// What may be asked for with it, beside what its caller may; not limited where it is left out.
#[derive(Debug, Args)]
pub(crate) struct AllowanceArgs {
    /// Requests a minute.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Tokens a minute, prompts and replies together.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Tokens a day of UTC.
    #[arg(long, value_name = "N")]
    tokens_per_day: Option<u64>,
    /// Tokens a month of UTC.
    #[arg(long, value_name = "N")]
    tokens_per_month: Option<u64>,
    /// Money a day of UTC, such as 2.50.
    #[arg(long, value_name = "AMOUNT")]
    spend_per_day: Option<Micros>,
    /// Money a month of UTC.
    #[arg(long, value_name = "AMOUNT")]
    spend_per_month: Option<Micros>,
}

impl AllowanceArgs {
    pub(crate) fn allowance(&self) -> Allowance {
        let mut allowance = Allowance::default();
        allowance.requests_per_minute = self.requests_per_minute;
        allowance.tokens_per_minute = self.tokens_per_minute;
        allowance.tokens_per_day = self.tokens_per_day;
        allowance.tokens_per_month = self.tokens_per_month;
        allowance.spend_per_day = self.spend_per_day;
        allowance.spend_per_month = self.spend_per_month;
        allowance
    }
}

/// An id, as it is listed.
pub(crate) fn id(text: &str) -> KeyId {
    text.into()
}
