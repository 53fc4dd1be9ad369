//! A circuit breaker: an engine that fails is left alone for a while.
//!
//! An engine that is down costs every request a connection and a wait, and one that is coming up again is hindered by them.
//! [`CircuitBreakerLayer`] counts failures; after too many of them it refuses at once, lets a single request try after a
//! while, and goes on from there. It stands innermost, next to the engine:
//!
//! ```text
//! right: QueueLayer · CircuitBreakerLayer · engine     what the engine does is all that counts
//! wrong: CircuitBreakerLayer · QueueLayer · engine     it sees the queue's refusals beside the engine's failures
//! ```

mod circuit;
#[cfg(feature = "config")]
mod config;
mod layer;
mod window;

#[cfg(feature = "config")]
pub use self::config::BreakerConfig;
pub use self::layer::CircuitBreakerLayer;
