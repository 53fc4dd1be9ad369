//! A container, as a program's configuration has it.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_container::{ContainerSpec, Gpus, Runtime, Sandbox};
use synapse_core::config::{Configuration, Period, Wrong};

use super::{Builder, ContainerModule};

/// The image that is run as the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ContainerConfig {
    /// The image, by name and tag or by digest; this machine must have it. Empty: none is run.
    #[schemars(extend("x-flag" = "image", "x-value" = "IMAGE", "x-restart" = true))]
    pub image: String,
    /// What it runs, after the image's entry point. Empty: the image's own command.
    #[schemars(extend("x-restart" = true))]
    pub command: Vec<String>,
    /// Variables of its environment. Whoever may inspect the container sees them.
    #[schemars(extend("x-restart" = true))]
    pub env: BTreeMap<String, String>,
    /// Files and directories of this machine that it may read, by their place within it: `/models = "/srv/models"`.
    #[schemars(extend("x-restart" = true))]
    pub read_only: BTreeMap<String, PathBuf>,
    /// Its memory, in MiB.
    #[schemars(range(min = 16), extend("x-flag" = "container-memory", "x-value" = "MIB", "x-restart" = true))]
    pub memory_mib: u32,
    /// Its share of the processors, in cores.
    #[schemars(range(min = 0.01, max = 1024.0), extend("x-flag" = "container-cpus", "x-value" = "CORES", "x-restart" = true))]
    pub cpus: f64,
    /// How many processes and threads it may have.
    #[schemars(range(min = 8, max = 65536), extend("x-restart" = true))]
    pub processes: u32,
    /// The size of its /tmp, in MiB; it counts as memory.
    #[schemars(range(min = 1), extend("x-restart" = true))]
    pub scratch_mib: u32,
    /// The GPUs that it sees, by number or UUID; `all` for all of them.
    #[schemars(extend("x-restart" = true))]
    pub gpus: Vec<String>,
    /// What stands between it and the kernel.
    #[schemars(extend("x-flag" = "sandbox", "x-restart" = true))]
    pub sandbox: SandboxChoice,
    /// How long it may take until it is ready.
    #[schemars(extend("x-flag" = "ready-within", "x-most" = "1h", "x-restart" = true))]
    pub ready_within: Period,
}

/// What stands between a container and the machine's kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxChoice {
    /// The kernel itself, behind a list of system calls.
    #[default]
    Hardened,
    /// gVisor, which the machine must have.
    Gvisor,
}

impl Default for ContainerConfig {
    fn default() -> Self {
        Self {
            image: String::new(),
            command: Vec::new(),
            env: BTreeMap::new(),
            read_only: BTreeMap::new(),
            memory_mib: 4096,
            cpus: 2.0,
            processes: 256,
            scratch_mib: 64,
            gpus: Vec::new(),
            sandbox: SandboxChoice::default(),
            ready_within: Period::seconds(120),
        }
    }
}

impl ContainerConfig {
    /// The container, as a module that is still to be started.
    pub fn module(&self, runtime: Runtime) -> Builder {
        ContainerModule::builder(runtime, self.spec()).ready_within(self.ready_within.get())
    }

    fn spec(&self) -> ContainerSpec {
        let mut spec = ContainerSpec::new(&self.image)
            .memory(u64::from(self.memory_mib) << 20)
            .cpus(self.cpus)
            .processes(self.processes)
            .scratch(u64::from(self.scratch_mib) << 20)
            .sandbox(match self.sandbox {
                SandboxChoice::Hardened => Sandbox::Hardened,
                SandboxChoice::Gvisor => Sandbox::GVisor,
            });
        if !self.command.is_empty() {
            spec = spec.command(self.command.clone());
        }
        for (name, value) in &self.env {
            spec = spec.env(name, value);
        }
        for (target, source) in &self.read_only {
            spec = spec.read_only(source, target);
        }
        match self.gpus.as_slice() {
            [] => spec,
            [all] if all == "all" => spec.gpus(Gpus::All),
            these => spec.gpus(Gpus::These(these.to_vec())),
        }
    }
}

impl Configuration for ContainerConfig {
    fn check(&self, wrong: &mut Wrong) {
        if self.scratch_mib > self.memory_mib {
            wrong.add("scratch_mib", "it is more than the memory, which it counts as");
        }
    }
}
