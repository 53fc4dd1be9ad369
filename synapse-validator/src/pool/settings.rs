//! A pool's limits and waits.

use std::time::Duration;

/// A pool's limits and waits; those that have a method on the pool can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Members asked for one request.
    pub(super) attempts: u32,
    /// Wait for one member's first content.
    pub(super) first_content: Duration,
    /// Pause between two looks at a member that answers.
    pub(super) probe_interval: Duration,
    /// Wait for a member's health: how late a busy member may be.
    ///
    /// More than the 3 s that a member served by `synapse-http` gives its own engine before it says that it is unhealthy: so
    /// an engine that hangs is heard of, and not taken for silence. Nothing hangs on the limits of the module that asks
    /// (connecting, a small reply): where one of them runs out first, that is silence too, as long as its error says
    /// [`Timeout`](synapse_core::ErrorKind::Timeout).
    pub(super) probe_timeout: Duration,
    /// Wait for a member's `initialize`.
    pub(super) initialize_timeout: Duration,
    /// Wait of the pool's own `initialize` for its first members.
    pub(super) startup_wait: Duration,
    /// Pause after a member's first failure to initialise; doubles up to [`retry_pause_max`](Self::retry_pause_max).
    pub(super) retry_pause: Duration,
    pub(super) retry_pause_max: Duration,
    /// Wait for the bodies of a member that leaves.
    pub(super) drain: Duration,
    /// Wait for a member's `shutdown`.
    pub(super) shutdown_timeout: Duration,
    /// Members initialised, and members looked at, at the same moment: each has as many places, so that those who never
    /// answer do not keep the pool from looking at those who do. (More that freeze at one moment are noticed later.)
    pub(super) at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_content: Duration::from_secs(300),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(4),
            initialize_timeout: Duration::from_secs(10),
            startup_wait: Duration::from_secs(10),
            retry_pause: Duration::from_millis(500),
            retry_pause_max: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            at_once: 256,
        }
    }
}
