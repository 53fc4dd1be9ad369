//! How loaded a member is.

use std::{fmt, time::Duration};

/// A way to measure how loaded members are; makes one [`Meter`] a member.
pub trait Load: fmt::Debug + Send + Sync + 'static {
    /// The meter of a member that just joined.
    fn meter(&self) -> Box<dyn Meter>;
}

/// How loaded one member is, from what was observed of it. Called on every request, so quick and without waiting.
///
/// ```
/// use std::time::Duration;
/// use synapse_validator::pool::{Load, Meter, Observation};
///
/// /// Whoever has the fewest requests under way; failures are left to ejection.
/// #[derive(Debug)]
/// struct LeastRequests;
///
/// impl Load for LeastRequests {
///     fn meter(&self) -> Box<dyn Meter> {
///         Box::new(Self)
///     }
/// }
///
/// impl Meter for LeastRequests {
///     fn load(&self, in_flight: u32) -> f64 {
///         f64::from(in_flight)
///     }
///     fn observe(&self, _: Observation) {}
/// }
/// ```
pub trait Meter: fmt::Debug + Send + Sync + 'static {
    /// How loaded the member is with `in_flight` requests under way. Lower is better; only comparisons count.
    fn load(&self, in_flight: u32) -> f64;

    /// Learns how one request went.
    fn observe(&self, observation: Observation);
}

/// What was seen of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observation {
    /// The first content came after this long.
    FirstContent(Duration),
    /// The member failed, had no room, or refused what another member answered, after this long. However fast that
    /// was, it is no sign of speed. A refusal as the caller's fault that is believed is not observed at all.
    Failed(Duration),
    /// Nobody waited any longer after this long, and no content had come. No failure, but a lower bound of its latency.
    Abandoned(Duration),
}
