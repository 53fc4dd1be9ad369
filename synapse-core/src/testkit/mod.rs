//! What tests of modules and layers need: modules that do as they are told.

mod clock;
mod echo;
mod scripted;

pub use self::{clock::ManualClock, echo::Echo, scripted::Scripted};
