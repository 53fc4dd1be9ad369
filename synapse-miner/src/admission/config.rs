//! Admission's options, as a program's configuration has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::Configuration;

use super::AdmissionLayer;
use crate::monitor::ResourceMonitor;

/// How many requests the engine is given at once, and what is kept free for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdmissionConfig {
    /// The most requests that the learned limit goes up to; the engine's own number of them where this is left out.
    #[schemars(range(min = 1, max = 1024), extend("x-example" = 8, "x-restart" = true))]
    pub ceiling: Option<u32>,
    /// Main memory that is kept free, in bytes: with less of it new requests are refused.
    #[schemars(extend("x-value" = "BYTES", "x-restart" = true))]
    pub memory_headroom: u64,
    /// The same of the GPU with most free memory; 0 for none.
    #[schemars(extend("x-value" = "BYTES", "x-restart" = true))]
    pub gpu_memory_headroom: u64,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            ceiling: None,
            memory_headroom: 128 << 20,
            gpu_memory_headroom: 0,
        }
    }
}

impl AdmissionConfig {
    /// Admission to an engine on the machine that `monitor` looks at.
    #[must_use]
    pub fn layer(&self, monitor: ResourceMonitor) -> AdmissionLayer {
        let layer = AdmissionLayer::new(monitor)
            .memory_headroom(self.memory_headroom)
            .gpu_memory_headroom(self.gpu_memory_headroom);
        match self.ceiling {
            Some(ceiling) => layer.ceiling(ceiling),
            None => layer,
        }
    }
}

impl Configuration for AdmissionConfig {}
