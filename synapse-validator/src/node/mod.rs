//! The loop that judges, epoch by epoch.

/// Runs a [`Validator`](crate::Validator).
#[derive(Debug)]
pub struct ValidatorNode {}
