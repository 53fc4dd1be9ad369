//! What tests of modules and layers need: the behaviour suite, and modules that do as they are told.
//!
//! [`conformance`] checks a module of your own in one line, [`conformance_of_wrapper`] one around another.

mod clock;
mod conformance;
mod echo;
mod scripted;

pub use self::{
    clock::ManualClock,
    conformance::{Check, Conformance, Outcome, Probe, Report, conformance, conformance_of_wrapper},
    echo::Echo,
    scripted::Scripted,
};
