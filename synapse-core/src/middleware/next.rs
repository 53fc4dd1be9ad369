//! The rest of a stack, as a middleware sees it.

use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{Error, InferenceService, Input, Output};

/// The rest of a stack. A clone runs it again, once it is ready again: what a retry needs.
///
/// Run the one that was handed in first, and clones after it: it holds the readiness (a permit, a slot of a buffer) that
/// a clone would wait for.
#[derive(Debug, Clone)]
pub struct Next<S>(S);

/// A [`Next`] whose type is erased: what [`from_fn`](super::from_fn) hands out.
pub type AnyNext = Next<BoxCloneSyncService<Input, Output, Error>>;

impl<S: InferenceService> Next<S> {
    /// The rest of a stack, whose readiness this call already awaited.
    pub(super) fn ready(service: S) -> Self {
        Self(service)
    }

    /// Runs the rest of the stack.
    ///
    /// # Errors
    /// What the rest of the stack says, as an error of ours.
    pub async fn run(self, input: Input) -> Result<Output, Error> {
        self.0
            .oneshot(input)
            .await
            .map_err(|error| Error::from_boxed(error.into()))
    }
}
