//! What must be given back, from before there is a body.

use super::{Ending, Output, Tap, guard};
use crate::Error;

/// A tap that exists before there is a body, so that what it reserved is given back however the call ends.
///
/// Dropped (the client left before the head, or another attempt won) it ends [`Ending::Dropped`];
/// [`settle`](Pending::settle) hands it to the body of an `Ok` and ends it [`Ending::Broken`] on an `Err`.
/// Reservations, permits and ledger rows live in one; a line after an `.await` would leak them.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
/// use synapse_core::{Ending, Error, Input, InferenceService, Middleware, Next, Output, Pending, Tap};
///
/// #[derive(Debug, Clone, Default)]
/// struct InFlight(Arc<AtomicUsize>);
///
/// struct Counted(Arc<AtomicUsize>);
/// impl Tap for Counted {
///     fn on_end(&mut self, _: &Ending) {
///         self.0.fetch_sub(1, Ordering::Relaxed);
///     }
/// }
///
/// impl Middleware for InFlight {
///     async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         let pending = Pending::new(Counted(self.0.clone()));
///         pending.settle(next.run(input).await)
///     }
/// }
/// ```
#[derive(Debug)]
#[must_use = "a pending that is dropped ends at once"]
pub struct Pending<T: Tap>(Option<T>);

impl<T: Tap> Pending<T> {
    /// A tap that is owed its ending from now on.
    pub fn new(tap: T) -> Self {
        Self(Some(tap))
    }

    /// The tap, to tell it what became known before there is a body.
    ///
    /// # Panics
    /// Never: only [`settle`](Pending::settle) takes the tap out, and that consumes the pending.
    pub fn tap_mut(&mut self) -> &mut T {
        self.0
            .as_mut()
            .expect("a pending holds its tap until it is settled")
    }

    /// Hands the tap to the body of an `Ok`; ends it on an `Err`.
    ///
    /// # Errors
    /// The error that came in.
    pub fn settle(mut self, result: Result<Output, Error>) -> Result<Output, Error> {
        let Some(tap) = self.0.take() else {
            return result;
        };
        match result {
            Ok(mut output) => {
                output.body.tap(tap);
                Ok(output)
            }
            Err(error) => {
                guard::end(tap, &Ending::Broken(error.clone()));
                Err(error)
            }
        }
    }
}

impl<T: Tap> Drop for Pending<T> {
    fn drop(&mut self) {
        if let Some(tap) = self.0.take() {
            guard::end(tap, &Ending::Dropped);
        }
    }
}
