//! Reading what a node stores, or stored.

use std::{
    collections::btree_set::IntoIter,
    path::{Path, PathBuf},
};

use synapse_core::{EpochId, Error};

use super::{EpochRecord, files, header::Header};

/// The epochs of a state, in their order, each read as it comes.
///
/// An item is an error where a file cannot be read; those after it can.
#[derive(Debug)]
pub struct Records {
    dir: PathBuf,
    epochs: IntoIter<EpochId>,
}

impl Records {
    pub(super) fn of(dir: &Path) -> Result<Self, Error> {
        Header::read(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            epochs: files::list(dir)?.into_iter(),
        })
    }
}

impl Iterator for Records {
    type Item = Result<EpochRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // One that is gone was forgotten meanwhile, for its age.
        self.epochs
            .by_ref()
            .find_map(|epoch| files::read(&self.dir, epoch).transpose())
    }
}
