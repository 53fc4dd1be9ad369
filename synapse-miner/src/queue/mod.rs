//! A bounded, fair line in front of an engine.
//!
//! An engine works on few requests at once. [`QueueLayer`] lets that many through and makes the others wait, each caller in
//! a line of his own that gets places by his stake. The line is bounded, and so is the wait: by [`max_wait`](QueueLayer::max_wait), a minute by default, and
//! by the request's own [`Deadline`](synapse_core::Deadline), at which it leaves the line and is never started. Who is
//! refused learns when to come back.
//!
//! It differs from [`ConcurrencyLayer`](synapse_core::layers::ConcurrencyLayer), which refuses at once instead of
//! waiting, and from tower's `ConcurrencyLimit`, whose waiters nobody counts and whose permit is free at the head of a
//! reply; here a place is held until the body ends.
//!
//! ```text
//! right: DeadlineLayer · QueueLayer · engine     the wait counts against the deadline
//! wrong: QueueLayer · DeadlineLayer · engine     the wait does not count, and a request that waited starts afresh
//! ```

mod asker;
#[cfg(feature = "config")]
mod config;
mod flow;
mod governor;
#[cfg(test)]
mod guesses;
mod layer;
mod line;
mod pace;
mod priority;
#[cfg(test)]
mod properties;
mod refusal;
mod status;
mod tokens;
mod turns;

#[cfg(feature = "config")]
pub use self::config::QueueConfig;
pub(crate) use self::{
    governor::Governor,
    tokens::{Count, Guess},
};
pub use self::{
    layer::QueueLayer,
    priority::Priority,
    status::{QueueCaller, QueueStatus},
};
pub use synapse_core::QueueWait;
