//! What the validator's parts do, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod fleet;
mod format;
mod log;
mod pool_balance;
mod pool_failover;
mod pool_load;
mod pool_membership;
mod pool_opinion;
mod pool_silent;
mod pool_start;
mod rate_limit;
mod rate_limit_exact;
mod rate_limit_settlement;
mod token_count;
mod trace;
