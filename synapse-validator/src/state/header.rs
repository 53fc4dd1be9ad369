//! Whose a state is, and in which version.

use std::path::Path;

use serde::{Deserialize, Serialize};
use synapse_core::{Error, NodeId, SubnetId};

use super::{VERSION, files};

/// The file beside the epochs.
const NAME: &str = "state.json";

/// Whose a state is, and in which version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) version: u32,
    subnet: SubnetId,
    validator: NodeId,
}

/// What every version of it says.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

impl Header {
    pub(super) fn new(subnet: SubnetId, validator: NodeId) -> Self {
        Self {
            version: VERSION,
            subnet,
            validator,
        }
    }

    /// The same in the version of this program.
    pub(super) fn renewed(self) -> Self {
        Self::new(self.subnet, self.validator)
    }

    /// What `dir` says; `None` where it says nothing yet.
    ///
    /// # Errors
    /// `state_newer`, `state_unreadable`.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(NAME);
        let Some(bytes) = files::bytes(&path)? else {
            return Ok(None);
        };
        let unreadable = |error: serde_json::Error| {
            Error::broken(
                "state_unreadable",
                format!("{} is not what a validator wrote", path.display()),
            )
            .with_hint("restore it from a backup, or remove it: the epochs say themselves whose they are")
            .with_source(error)
        };
        // The version first: a newer one may look different.
        let AnyVersion { version } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        check_version(version, &path)?;
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).expect("a header is JSON");
        files::replace(&dir.join(NAME), &bytes)
    }

    /// # Errors
    /// `state_foreign`.
    pub(super) fn check(&self, subnet: SubnetId, validator: &NodeId) -> Result<(), Error> {
        if (self.subnet, &self.validator) == (subnet, validator) {
            return Ok(());
        }
        Err(Error::invalid(
            "state_foreign",
            format!(
                "this state is of the validator {} of subnet {}, and this node is {validator} of subnet {subnet}",
                self.validator, self.subnet
            ),
        )
        .with_hint("give each validator of each subnet a directory of its own"))
    }
}

/// Whether this program knows `version`.
///
/// # Errors
/// `state_newer`.
pub(super) fn check_version(version: u32, path: &Path) -> Result<(), Error> {
    if version <= VERSION {
        return Ok(());
    }
    Err(Error::unsupported(
        "state_newer",
        format!(
            "{} was written in version {version}, and this program knows versions up to {VERSION}",
            path.display()
        ),
    )
    .with_hint("run the newer program, or restore what was backed up before the upgrade"))
}
