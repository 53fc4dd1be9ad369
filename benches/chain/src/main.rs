//! What a block of a local chain costs: 4,096 members, 1,000 signed transactions a block, committed to disk.
//!
//! Each transaction's signature is verified when it is taken, before it waits: that is timed apart. A block is timed
//! from the moment that all its transactions wait until it is on disk, told to followers, and acknowledged.

mod measure;
mod world;

use clap::{Parser, ValueEnum};
use synapse_core::keys::Scheme;

use self::{
    measure::{Figures, rss_mib},
    world::{Kind, World},
};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Time blocks of a local chain.
#[derive(Debug, Parser)]
struct Options {
    /// Members of the subnet.
    #[arg(long, default_value_t = 4_096)]
    members: usize,
    /// Transactions of a block, at most 1,000.
    #[arg(long, default_value_t = 1_000)]
    transactions: usize,
    /// Blocks of each kind.
    #[arg(long, default_value_t = 20)]
    blocks: usize,
    /// How accounts sign.
    #[arg(long, value_enum, default_value_t = Signing::Sr25519)]
    scheme: Signing,
    /// Where the chain is kept; a temporary directory otherwise.
    #[arg(long)]
    data_dir: Option<std::path::PathBuf>,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Signing {
    Sr25519,
    Ed25519,
    Secp256k1,
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let options = Options::parse();
    let scheme = match options.scheme {
        Signing::Sr25519 => Scheme::Sr25519,
        Signing::Ed25519 => Scheme::Ed25519,
        Signing::Secp256k1 => Scheme::Secp256k1,
    };
    let temporary = tempfile::tempdir()?;
    let directory = options.data_dir.as_deref().unwrap_or(temporary.path());
    let empty = rss_mib()?;
    let mut world = World::new(directory, scheme, options.members, options.transactions).await?;
    let full = rss_mib()?;
    let mut figures = Vec::new();
    for kind in [Kind::Transfer, Kind::Serve] {
        let mut rounds = Figures::new(kind.name());
        for _ in 0..options.blocks {
            rounds.add(world.block(kind).await?);
        }
        figures.push(rounds);
    }
    let after = rss_mib()?;
    let mut report = serde_json::json!({
        "members": options.members,
        "transactions_a_block": options.transactions,
        "scheme": scheme.as_str(),
        "rss_mib": { "empty": empty, "members_registered": full, "after": after },
        "file_mib": measure::mib(std::fs::metadata(directory.join("chain.redb"))?.len()),
    });
    report["blocks"] = figures.iter().map(Figures::to_json).collect();
    if options.json {
        println!("{report}");
        return Ok(());
    }
    println!(
        "{} members, {} transactions a block, {scheme}, signatures verified",
        options.members, options.transactions
    );
    figures.iter().for_each(|figures| println!("{figures}"));
    println!(
        "memory: {empty:.0} MiB before, {full:.0} MiB with the members, {after:.0} MiB after; file {:.0} MiB",
        report["file_mib"].as_f64().unwrap_or_default()
    );
    Ok(())
}
