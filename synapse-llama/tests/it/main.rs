//! The crate through its public door, with a real model.
mod smoke;
