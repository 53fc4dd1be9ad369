//! Replicas that come and go with demand, and models that share a machine's memory.
//!
//! A [`ReplicaSet`] is one module over several replicas that a [`Spawner`] starts: containers of one image, processes of one
//! engine. It sends each request to the one that is least busy, takes out who is not well and replaces it. How many there
//! are is fixed, or follows a [`ScalePolicy`] and the [`Demand`] of the queue before it:
//!
//! ```text
//! QueueLayer ── how many wait ──▶ ScalePolicy ── one more, one fewer ──▶ ReplicaSet
//!     ▲                                                                      │
//!     └──────────────────────── as many places as ready replicas have ───────┘
//! ```
//!
//! [`Residency`] stands before one module that serves several models, and has those in memory that are asked for: pinned
//! ones always, another as it is asked for, and one makes room for another only where that is asked for much more often.

mod autoscaler;
#[cfg(feature = "config")]
mod config;
mod demand;
mod event;
mod keeper;
mod manager;
mod policy;
mod replica;
mod residency;
mod roster;
mod set;
mod settings;
mod spawner;

#[cfg(feature = "config")]
pub use self::config::ScaleConfig;
pub use self::{
    demand::Demand,
    event::ReplicaEvent,
    policy::{Lately, Load, ScalePolicy},
    residency::{Budget, Loader, ModelDemand, Residency, ResidencyPolicy, Resident, SharedModel, Step},
    set::ReplicaSet,
    spawner::Spawner,
};
