//! What the programs of a node are told alike: which chain and subnet, which key, how they show their status, and how they
//! end.

pub mod config;
mod say;
pub mod status;
pub mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use synapse_chain::LocalChain;
use synapse_core::{
    Error, NodeId, SubnetId,
    keys::{Keypair, Keys, Keystore, Passphrase, Scheme, check_address},
};
use tracing_subscriber::EnvFilter;

pub use self::say::{say, say_ready};

/// The chain and the subnet that a node belongs to.
#[derive(Debug, Clone, Args)]
pub struct ChainArgs {
    /// The chain.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9933")]
    chain: String,
    /// The chain's key, by its address: with it the chain is reached over https, and nothing else is taken for it.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    chain_key: Option<NodeId>,
    /// Reach the chain over plain HTTP on another machine, too, where the network itself is private.
    #[arg(long)]
    allow_plain_chain: bool,
    /// The subnet.
    #[arg(long, value_name = "ID", default_value_t = 7)]
    subnet: u64,
}

impl ChainArgs {
    /// The chain's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.chain
    }

    /// The subnet's number.
    #[must_use]
    pub fn subnet(&self) -> SubnetId {
        SubnetId(self.subnet)
    }

    /// The chain, whether it answers already or not.
    ///
    /// # Errors
    /// Where its address is none, or nothing protects the way there.
    pub fn connect_lazy(&self) -> Result<LocalChain, Error> {
        let chain = LocalChain::remote(&self.chain).allow_plain_http(self.allow_plain_chain);
        let chain = match &self.chain_key {
            Some(key) => chain.server_key(key.clone()),
            None => chain,
        };
        chain.connect_lazy()
    }
}

/// The address of a key of any scheme.
///
/// # Errors
/// Why it is none.
pub fn address(text: &str) -> Result<NodeId, String> {
    let node = NodeId::from(text);
    let scheme = if text.starts_with("0x") {
        Scheme::Secp256k1
    } else {
        Scheme::Sr25519
    };
    check_address(scheme, &node).map_err(|error| error.to_string())?;
    Ok(node)
}

/// A node's key, and what unlocks it.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// The keystore; the program `keys` makes keys.
    #[arg(long, value_name = "DIR", default_value = "./keys")]
    keys: PathBuf,
    /// The node's key in it: WALLET or WALLET/HOTKEY.
    #[arg(long, value_name = "NAME")]
    key: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// A key that a program may go without, and what unlocks it.
#[derive(Debug, Clone, Args)]
pub struct OptionalKeyArgs {
    /// The keystore; the program `keys` makes keys.
    #[arg(long, value_name = "DIR", default_value = "./keys")]
    keys: PathBuf,
    /// The key in it: WALLET or WALLET/HOTKEY.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl OptionalKeyArgs {
    /// The key, where one is named.
    #[must_use]
    pub fn named(&self) -> Option<KeyArgs> {
        Some(KeyArgs {
            keys: self.keys.clone(),
            key: self.key.clone()?,
            passphrase: self.passphrase.clone(),
        })
    }
}

/// Where a passphrase comes from; from a prompt where none is named.
#[derive(Debug, Clone, Args)]
pub struct PassphraseArgs {
    /// The file with the passphrase, which its owner alone may read.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_env")]
    passphrase_file: Option<PathBuf>,
    /// The environment variable with the passphrase.
    #[arg(long, value_name = "NAME")]
    passphrase_env: Option<String>,
}

impl KeyArgs {
    /// Unlocks the node's key.
    ///
    /// # Errors
    /// As [`Keystore::unlock`] and [`Passphrase`] say.
    pub async fn unlock(&self) -> Result<Keys, Error> {
        let name = self.key.clone();
        self.open(move |keystore, passphrase| keystore.unlock(&name, passphrase))
            .await
    }

    /// Unlocks another key of the keystore under the same passphrase, such as a coldkey.
    ///
    /// # Errors
    /// As [`unlock`](Self::unlock).
    pub async fn keypair(&self, name: &str) -> Result<Keypair, Error> {
        let name = name.to_owned();
        self.open(move |keystore, passphrase| keystore.keypair(&name, passphrase))
            .await
    }

    /// Opening takes a tenth of a second of a core, and a prompt as long as somebody types.
    async fn open<T: Send + 'static>(
        &self,
        open: impl FnOnce(&Keystore, &Passphrase) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        // Before there is a secret in memory.
        synapse_core::keys::forbid_core_dumps();
        let (folder, from) = (self.keys.clone(), self.passphrase.clone());
        let opened = tokio::task::spawn_blocking(move || open(&Keystore::open(folder)?, &from.read()?));
        opened.await.map_err(|error| {
            Error::internal("unlock_ended", "unlocking the key ended early").with_source(error)
        })?
    }
}

impl PassphraseArgs {
    fn read(&self) -> Result<Passphrase, Error> {
        match (&self.passphrase_file, &self.passphrase_env) {
            (Some(file), _) => Passphrase::from_file(file),
            // Not echoed: it may be the passphrase itself.
            (None, Some(variable)) if !config::is_variable(variable) => Err(Error::invalid(
                "no_passphrase",
                format!("--passphrase-env: {}", config::NO_VARIABLE),
            )),
            (None, Some(variable)) => Passphrase::from_env(variable),
            (None, None) => Passphrase::prompt("passphrase: "),
        }
    }
}

/// Sends what happens to standard error: warnings, or what RUST_LOG says.
pub fn log() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .init();
}

/// How a program ends, and why on standard error.
#[must_use]
pub fn ended(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            match error.code() {
                // What was told wrongly, as of flags.
                "bad_configuration" => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
