//! Where passphrases come from.

use std::path::Path;

use synapse_core::{Error, keys::Passphrase};

/// A key's passphrase; asked for where no place was named.
pub(crate) fn known(file: Option<&Path>, variable: Option<&str>) -> Result<Passphrase, Error> {
    named(file, variable).unwrap_or_else(|| Passphrase::prompt("passphrase: "))
}

/// The passphrase of a key to come; asked for twice where no place was named.
pub(crate) fn new(file: Option<&Path>, variable: Option<&str>) -> Result<Passphrase, Error> {
    named(file, variable).unwrap_or_else(|| Passphrase::prompt_new("new passphrase: "))
}

fn named(file: Option<&Path>, variable: Option<&str>) -> Option<Result<Passphrase, Error>> {
    match (file, variable) {
        (Some(file), _) => Some(Passphrase::from_file(file)),
        (None, Some(variable)) => Some(Passphrase::from_env(variable)),
        (None, None) => None,
    }
}
