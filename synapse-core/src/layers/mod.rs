//! Layers that every role needs, and that tower's own are not: they end with the body, not with its head.

mod concurrency;
mod deadline;

pub use self::{
    concurrency::ConcurrencyLayer,
    deadline::{DeadlineLayer, DeadlineService},
};
