//! What the program is told to do.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use synapse_core::Micros;
use synapse_validator::ledger::{self, By, Query, UnixMillis};

/// Show what a gateway's ledger says, and top balances up. The gateway may run meanwhile.
///
/// A request belongs to the moment at which it ended. Times are of UTC: 2026-03-01, or 2026-03-01T12:30:00Z.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The gateway's data directory, or its ledger's.
    #[arg(long, global = true, default_value = "./data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Print JSON, failures too. Amounts are in millionths then.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print requests, the oldest first.
    Rows {
        #[command(flatten)]
        of: Of,
        /// How many at most.
        #[arg(long, default_value = "100", value_name = "ROWS", conflicts_with = "csv")]
        limit: NonZeroUsize,
        /// Print all of them as CSV.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Print sums.
    Totals {
        #[command(flatten)]
        of: Of,
        /// By what: day, caller, key, model, miner; several with commas between them.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
        by: Vec<Column>,
        /// Print CSV.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Print what each caller paid in, was charged and has left.
    Balances,
    /// Enter a payment: where a gateway runs it is left for it, and waited for.
    TopUp(TopUpOptions),
    /// Read every row, and say whether all are what was written.
    Verify,
}

/// Which requests.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Those of this caller.
    #[arg(long)]
    caller: Option<String>,
    /// Those with this API key, by its id.
    #[arg(long)]
    key: Option<String>,
    /// Those for this model.
    #[arg(long)]
    model: Option<String>,
    /// Those that this miner served.
    #[arg(long, value_name = "ADDRESS")]
    miner: Option<String>,
    /// Those that ended then or later.
    #[arg(long, value_name = "TIME", value_parser = ledger::read_time)]
    from: Option<UnixMillis>,
    /// Those that ended before.
    #[arg(long, value_name = "TIME", value_parser = ledger::read_time)]
    until: Option<UnixMillis>,
}

#[derive(Debug, Args)]
pub(crate) struct TopUpOptions {
    /// Whose balance grows.
    pub(crate) caller: String,
    /// By how much: 25, 0.50.
    pub(crate) amount: Micros,
    /// What it is for, such as an invoice's number.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// The payment's name: entered twice under one name it counts once. A new one where none is given.
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Make the ledger where there is none yet.
    #[arg(long)]
    pub(crate) create: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Column {
    Day,
    Caller,
    Key,
    Model,
    Miner,
}

impl Options {
    /// The ledger's own directory.
    pub(crate) fn directory(&self) -> PathBuf {
        let is_its_own = self.data_dir.join("segments").is_dir();
        if is_its_own {
            self.data_dir.clone()
        } else {
            self.data_dir.join("ledger")
        }
    }
}

impl Of {
    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        query.caller = self.caller.as_deref().map(Into::into);
        query.key = self.key.as_deref().map(Into::into);
        query.model.clone_from(&self.model);
        query.miner = self.miner.as_deref().map(Into::into);
        query.from = self.from;
        query.until = self.until;
        query
    }
}

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Caller => "caller",
            Self::Key => "key",
            Self::Model => "model",
            Self::Miner => "miner",
        }
    }
}

impl From<Column> for By {
    fn from(column: Column) -> Self {
        match column {
            Column::Day => Self::Day,
            Column::Caller => Self::Caller,
            Column::Key => Self::Key,
            Column::Model => Self::Model,
            Column::Miner => Self::Miner,
        }
    }
}
