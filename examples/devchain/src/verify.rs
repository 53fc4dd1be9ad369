//! Whether a chain's state is what its blocks make of it.

use std::path::PathBuf;

use synapse_chain::LocalChain;
use synapse_core::Error;

/// Do every block of a chain again, and compare what comes of it with the stored state.
///
/// The devchain that keeps the directory must not run meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the chain is kept.
    #[arg(long)]
    data_dir: PathBuf,
}

pub(crate) fn verify(options: &Options) -> Result<(), Error> {
    if !options.data_dir.join("chain.redb").exists() {
        return Err(Error::invalid(
            "no_store",
            format!("there is no chain in {}", options.data_dir.display()),
        ));
    }
    let chain = LocalChain::open(&options.data_dir)?;
    let blocks = chain.verify()?;
    node_args::say(&format!(
        "{}: {blocks} blocks give the state that is stored\n",
        chain.id()
    ))
}
