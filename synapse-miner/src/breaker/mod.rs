//! A circuit breaker: an engine that fails is left alone for a while.
