//! Directories as bytes, written once for all who follow.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use synapse_core::{Directory, SubnetId};

use crate::remote::wire::Members;

/// The newest directory of each subnet that somebody followed, as it is sent.
#[derive(Debug, Default)]
pub(super) struct Directories(Mutex<BTreeMap<SubnetId, (Arc<Directory>, Bytes)>>);

impl Directories {
    /// The JSON of a directory. Whoever asks for the same one meanwhile waits rather than writing it too.
    pub(super) fn written(&self, subnet: SubnetId, directory: &Arc<Directory>) -> Bytes {
        let mut written = self.0.lock().expect("a directory has a JSON form");
        if let Some((of, bytes)) = written.get(&subnet)
            && Arc::ptr_eq(of, directory)
        {
            return bytes.clone();
        }
        let bytes = serde_json::to_vec(&Members::from(&**directory)).expect("a directory has a JSON form");
        let bytes = Bytes::from(bytes);
        written.insert(subnet, (directory.clone(), bytes.clone()));
        bytes
    }
}
