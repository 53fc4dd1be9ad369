//! What a subnet's owner decides of the standard policy.

use std::time::Duration;

/// What a subnet's owner decides of the [standard policy](super::StandardPolicy).
///
/// By default: three observations, both targets the subnet's median with a tolerance of 1.5, and a half for a miner
/// whom users never reach.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StandardSettings {
    pub(super) least_observations: u64,
    pub(super) first_content_us: Option<u64>,
    pub(super) speed_mtps: Option<u64>,
    pub(super) tolerance: f64,
    pub(super) volume_floor: f64,
}

impl StandardSettings {
    /// The least number of observations with which there is an opinion, at least 1: a probe is one, and so is each
    /// caller's voice.
    #[must_use]
    pub fn least_observations(mut self, observations: u64) -> Self {
        self.least_observations = observations.max(1);
        self
    }

    /// The time to the first content up to which nothing is deducted. Without it, the subnet's median × the tolerance,
    /// and never less than 250 ms, which nobody notices.
    #[must_use]
    pub fn first_content(mut self, target: Duration) -> Self {
        let micros = u64::try_from(target.as_micros()).unwrap_or(u64::MAX);
        self.first_content_us = Some(micros.max(1));
        self
    }

    /// The thousandths of a token a second from which nothing is deducted. Without it, the subnet's median ÷ the
    /// tolerance.
    #[must_use]
    pub fn speed_mtps(mut self, target: u64) -> Self {
        self.speed_mtps = Some(target.max(1));
        self
    }

    /// How many times slower than the subnet's median a miner may be without any deduction: 1 and more, and 1 of
    /// what is no number.
    #[must_use]
    pub fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = if times.is_finite() { times.max(1.0) } else { 1.0 };
        self
    }

    /// What is left of the score of a miner that got no users' traffic: from 0 to 1, which switches volume off (and is what
    /// becomes of no number). The lower
    /// it is, the more one caller's own traffic is worth: at most a tenth of what is not left.
    #[must_use]
    pub fn volume_floor(mut self, floor: f64) -> Self {
        self.volume_floor = if floor.is_finite() {
            floor.clamp(0.0, 1.0)
        } else {
            1.0
        };
        self
    }
}

impl Default for StandardSettings {
    fn default() -> Self {
        Self {
            least_observations: 3,
            first_content_us: None,
            speed_mtps: None,
            tolerance: 1.5,
            volume_floor: 0.5,
        }
    }
}
