//! What tells capabilities from others.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::ModuleCapabilities;

impl ModuleCapabilities {
    /// What tells these capabilities from others, as a [`Member`](crate::Member) of a directory carries it: `sha256:` and
    /// 64 hex digits, of their JSON with the keys of every object sorted and no white space.
    #[must_use]
    pub fn digest(&self) -> String {
        // By way of its text: a value that is made directly widens an `f32` to digits that the text does not have.
        let text = serde_json::to_string(self).expect("capabilities have a JSON form");
        let mut canonical: serde_json::Value = serde_json::from_str(&text).expect("it was just written");
        canonical.sort_all_objects();
        let digest = Sha256::digest(canonical.to_string());
        digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all");
            text
        })
    }
}
