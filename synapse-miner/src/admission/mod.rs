//! How many requests an engine is given at once, learned from how long they take.
//!
//! An engine says how many requests it can work on, or nothing at all; how many it works on *well* depends on the machine,
//! the model and the neighbours. [`AdmissionLayer`] learns that from the time that requests take, and refuses what the
//! machine has no memory for.
//!
//! It stands outside of a [`QueueLayer`](crate::QueueLayer) and allows it so many of its places: who waits is the queue's
//! business, which is fair, and admission never refuses in its stead. Without a queue it refuses what is beyond the limit.
//!
//! ```text
//! right: AdmissionLayer · QueueLayer · engine     the queue's places follow the limit
//! wrong: QueueLayer · AdmissionLayer · engine     who waited his turn is refused at the end of it
//! ```

#[cfg(feature = "config")]
mod config;
mod layer;
mod limit;
mod refusal;

#[cfg(feature = "config")]
pub use self::config::AdmissionConfig;
pub use self::layer::AdmissionLayer;
