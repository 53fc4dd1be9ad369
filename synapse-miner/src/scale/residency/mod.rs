//! Which models are in memory, where there is not room for all.
//!
//! The [`ResidencyPolicy`] decides, a pure function of what is asked for; a [`Loader`] does it; [`Residency`] counts, and has
//! requests wait for their model.

mod budget;
mod keeper;
mod loader;
mod module;
mod policy;
mod rate;
mod shelf;

pub use self::{
    budget::Budget,
    loader::{Loader, Resident},
    module::Residency,
    policy::{ModelDemand, ResidencyPolicy, Step},
    shelf::SharedModel,
};
