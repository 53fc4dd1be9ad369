//! Options of the monitor, as a program's configuration has them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period};

use super::{MonitorBuilder, ResourceMonitor};

/// How this machine's resources are watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MonitorConfig {
    /// The pause between two looks at processors, memory, disk and GPUs.
    #[schemars(extend("x-flag" = "look-every", "x-most" = "1h", "x-restart" = true))]
    pub every: Period,
    /// A directory on the disk whose room is watched, such as where models are kept. None where this is left out.
    #[schemars(extend("x-flag" = "watch-disk", "x-value" = "DIR", "x-example" = "/var/lib/models", "x-restart" = true))]
    pub disk: Option<PathBuf>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            every: Period::seconds(2),
            disk: None,
        }
    }
}

impl MonitorConfig {
    /// The monitor, which looks from when it is [started](MonitorBuilder::start).
    pub fn builder(&self) -> MonitorBuilder {
        let builder = ResourceMonitor::builder().every(self.every.get());
        match &self.disk {
            Some(disk) => builder.watching_disk(disk),
            None => builder,
        }
    }
}

impl Configuration for MonitorConfig {}
