//! From a member of the directory to a module that reaches it.

use std::sync::Arc;

use crate::{Error, InferenceModule, Member};

/// Makes a module that reaches a member of the directory. A pool knows no transport; this does.
///
/// It gets the whole member rather than its endpoint, since a transport that signs or checks certificates must know
/// whose endpoint it is.
pub trait Connect: Send + Sync + 'static {
    /// A module that reaches `member`. Does not wait for the network: that is for `initialize`.
    ///
    /// # Errors
    /// Where the member's endpoint is missing or not of a kind that this transport reaches.
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error>;
}

impl<F> Connect for F
where
    F: Fn(&Member) -> Result<Arc<dyn InferenceModule>, Error> + Send + Sync + 'static,
{
    fn connect(&self, member: &Member) -> Result<Arc<dyn InferenceModule>, Error> {
        self(member)
    }
}
