//! What the validator's parts do, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod accounting;
mod accounting_bounds;
mod accounting_reference;
mod accounting_stack;
mod backtest;
mod billing;
#[cfg(feature = "config")]
mod billing_config;
mod disk_image;
mod evidence;
mod evidence_stored;
mod fleet;
mod format;
mod ledger;
mod ledger_disk;
#[cfg(feature = "failpoints")]
mod ledger_faults;
mod ledger_fiu;
mod ledger_kills;
mod ledger_layer;
mod ledger_layer_limits;
mod ledger_layer_stored;
mod ledger_layer_terms;
mod ledger_moved;
mod ledger_power_cut;
mod ledger_query;
mod ledger_recovery;
mod ledger_writer;
mod log;
mod node;
mod node_chain;
mod node_clock;
mod node_course;
mod node_large;
mod node_policy;
mod node_probes;
mod node_restart;
mod node_status;
mod node_world;
mod pool_balance;
mod pool_capacity;
mod pool_failover;
mod pool_load;
mod pool_membership;
mod pool_opinion;
mod pool_silent;
mod pool_stalls;
mod pool_start;
mod pool_witness;
mod rate_limit;
mod rate_limit_exact;
mod rate_limit_restored;
mod rate_limit_scopes;
mod rate_limit_settlement;
mod score;
mod score_agreement;
mod score_bad_input;
mod score_buying;
mod score_fleet;
mod simulation;
mod state;
#[cfg(feature = "failpoints")]
mod state_power;
mod token_count;
mod token_count_bounds;
mod token_count_claims;
#[cfg(feature = "tokenizer-json")]
mod token_count_json;
mod token_count_loading;
mod trace;
mod transcript;
mod weights;
