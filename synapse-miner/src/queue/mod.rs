//! A bounded, fair line in front of an engine.
//!
//! An engine works on few requests at once. [`QueueLayer`] lets that many through and makes the others wait, first come
//! first served. The line is bounded, and so is the wait: a request whose [`Deadline`](synapse_core::Deadline) passes
//! leaves the line that moment and is never started. Who is refused learns when to come back.
//!
//! It differs from [`ConcurrencyLayer`](synapse_core::layers::ConcurrencyLayer), which refuses at once instead of
//! waiting, and from tower's `ConcurrencyLimit`, whose waiters nobody counts and whose permit is free at the head of a
//! reply; here a place is held until the body ends.
//!
//! ```text
//! right: DeadlineLayer · QueueLayer · engine     the wait counts against the deadline
//! wrong: QueueLayer · DeadlineLayer · engine     a request may wait for ever and then start afresh
//! ```

mod layer;
mod line;
mod refusal;
mod wait;

pub use self::{layer::QueueLayer, wait::QueueWait};
