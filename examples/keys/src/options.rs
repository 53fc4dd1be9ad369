//! What the program is told to do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use synapse_core::keys::{Scheme, WordCount};

/// Create, show and use the keys of a node.
///
/// A key is called WALLET (its hotkey `default`), WALLET/HOTKEY or WALLET/coldkey; one that was rotated out, by its old
/// name and its address: NAME@ADDRESS. Data goes to standard output, everything else to standard error. The exit status
/// is 0 when it was done, 1 when it failed, 2 when it was asked the wrong way, 3 when a signature is not good, 4 when a
/// passphrase is wrong.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The keystore.
    #[arg(long, global = true, default_value = "./keys")]
    pub(crate) dir: PathBuf,
    /// Print JSON, failures too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the passphrase comes from; from a prompt where none is named.
#[derive(Debug, Args)]
pub(crate) struct PassphraseOptions {
    /// The file with the passphrase, which its owner alone may read.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_env")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The environment variable with the passphrase.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) passphrase_env: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new key, and print its words, this once.
    Create {
        name: String,
        #[arg(long, default_value = "sr25519")]
        scheme: Scheme,
        #[arg(long, value_enum, default_value_t = Words::Twelve)]
        words: Words,
    },
    /// Take in a phrase or a seed (0x and 64 hex digits) from standard input, or from a prompt.
    Import {
        name: String,
        #[arg(long, default_value = "sr25519")]
        scheme: Scheme,
    },
    /// Print the phrase or the seed of a key.
    Export { name: String },
    /// Print the address and the scheme of a key.
    Show { name: String },
    /// Print the names, addresses and schemes of all keys.
    List,
    /// Put a new key in a key's place, and print its words, this once; the old one is then called NAME@ADDRESS.
    Rotate { name: String },
    /// Put a key under another passphrase.
    Passwd {
        name: String,
        /// The file with the new passphrase, which its owner alone may read.
        #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase_env")]
        new_passphrase_file: Option<PathBuf>,
        /// The environment variable with the new passphrase.
        #[arg(long, value_name = "NAME")]
        new_passphrase_env: Option<String>,
    },
    /// Sign a message, or standard input, byte for byte.
    Sign { name: String, message: Option<String> },
    /// Say whether an address signed a message, or standard input.
    Verify {
        #[arg(long, default_value = "sr25519")]
        scheme: Scheme,
        address: String,
        signature: String,
        message: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Words {
    #[value(name = "12")]
    Twelve,
    #[value(name = "24")]
    TwentyFour,
}

impl From<Words> for WordCount {
    fn from(words: Words) -> Self {
        match words {
            Words::Twelve => Self::Twelve,
            Words::TwentyFour => Self::TwentyFour,
        }
    }
}
