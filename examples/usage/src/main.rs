//! Shows what a gateway's ledger says: who asked what of whom, and what it cost. Tops balances up.
//!
//! ```text
//! cargo run -p usage -- totals --data-dir ./data --by caller,model --from 2026-03-01
//! cargo run -p usage -- top-up alice 25.00 --data-dir ./data --note "invoice 17"
//! ```

mod options;
mod report;
mod top_up;

use std::{
    io::{BufWriter, ErrorKind, Write as _},
    process::ExitCode,
};

use clap::Parser;
use serde_json::json;
use synapse_core::Error;
use synapse_validator::ledger;

use self::options::{Command, Options};

fn main() -> ExitCode {
    node_args::log();
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error, options.json);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let directory = options.directory();
    match &options.command {
        Command::Rows { of, limit, csv } => {
            let mut query = of.query();
            if *csv {
                return write_csv(&directory, &query);
            }
            query.most_rows = limit.get();
            report::rows(options.json, &ledger::query(directory, &query)?)
        }
        Command::Totals { of, by, csv } => {
            let mut query = of.query();
            query.by = by.iter().map(|by| (*by).into()).collect();
            let names: Vec<_> = by.iter().map(|by| by.name()).collect();
            report::totals(options.json, *csv, &names, &ledger::query(directory, &query)?)
        }
        Command::Balances => report::balances(options.json, &ledger::accounts(directory)?),
        Command::TopUp(top_up) => self::top_up::run(options, top_up, &directory),
        Command::Verify => {
            let rows = ledger::verify(&directory)?;
            let text = format!("{rows} rows are what was written\n");
            report::line(options.json, &text, &json!({ "rows": rows, "good": true }))
        }
    }
}

/// As it is read: a ledger may have more rows than there is memory.
fn write_csv(directory: &std::path::Path, query: &ledger::Query) -> Result<(), Error> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut written = ledger::write_csv_head(&mut out);
    ledger::rows(directory, query, |row| {
        if written.is_ok() {
            written = ledger::write_csv(&mut out, &row);
        }
        written.is_ok()
    })?;
    match written.and_then(|()| out.flush()) {
        // Who reads has had enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::unavailable("no_output", "standard output takes nothing").with_source(error))
        }
        _ => Ok(()),
    }
}
