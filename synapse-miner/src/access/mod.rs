//! Who may call, and how much.
//!
//! Who signs a request is proved before this: by the [`Verifier`](synapse_http::Verifier) of a
//! [`MinerNode`](crate::MinerNode), which knows the subnet's members and turns away who is none, or has less stake than
//! [`min_stake`](crate::MinerNode::min_stake), before a byte of the body is read. [`AccessLayer`] decides what such a caller
//! may: by its role, its stake as it is now, lists of who may and who may not, and limits for each. Its
//! [rules](AccessRules) can be replaced while it runs. What it lets through carries a [`Standing`], by which the
//! [queue](crate::queue) shares its places.
//!
//! ```text
//! right: AccessLayer · QueueLayer · engine     who may not call takes no place, and the queue knows whose turn it is
//! wrong: QueueLayer · AccessLayer · engine     a caller who is refused waited in line for it
//! ```
//!
//! # What nobody may call
//! A miner serves the routes of its [router](synapse_http::router) and no others: inference, health, metrics and what it
//! is. Requests are answered by modules, never forwarded by path, so an engine's own management endpoints (Ollama's
//! `/api/pull`, `/api/delete` and `/api/create`, llama-server's `/slots` and `/props`, vLLM's `/v1/load_lora_adapter` and
//! `/sleep`) are not reachable through it, whoever asks. Keep the engine itself on loopback or on a Unix socket.

mod bucket;
mod callers;
mod layer;
mod refusal;
mod rules;
mod standing;

#[cfg(feature = "config")]
mod config;

#[cfg(feature = "config")]
pub use self::config::AccessConfig;
pub use self::{
    layer::{AccessLayer, OwnRequest},
    rules::{AccessRules, CallerLimits},
    standing::Standing,
};
