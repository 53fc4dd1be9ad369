//! What a subnet's author decides about mining.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{Health, HealthStatus, InferenceModule, ModuleCapabilities};

use super::Register;

/// How long a module may be unwell before its subnet is not told any more what it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a subnet's author decides: what answers, what of it the subnet is told, whether the node registers itself, and when
/// it goes. Whoever overrides nothing but the module has a [`StandardMiner`].
///
/// [`MinerNode`](super::MinerNode) runs one.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{Health, HealthStatus, InferenceModule, ModuleCapabilities};
/// use synapse_miner::Miner;
///
/// /// Is listed with its models only while all is well.
/// struct Proud(Arc<dyn InferenceModule>);
///
/// impl Miner for Proud {
///     fn module(&self) -> Arc<dyn InferenceModule> {
///         self.0.clone()
///     }
///     fn advertises(&self, _: &ModuleCapabilities, health: &Health) -> bool {
///         health.status() == HealthStatus::Ready
///     }
/// }
/// # let _ = Proud;
/// ```
pub trait Miner: Send + Sync + 'static {
    /// What answers: an engine, most often behind layers.
    fn module(&self) -> Arc<dyn InferenceModule>;

    /// Whether the subnet is told that this is served; where not, what it was told is taken back. What a module claims is
    /// what it serves, so whoever wants to be asked for less wraps the module. `health` is as old as the module's trouble:
    /// the standard is to say no once it has not answered for a minute.
    fn advertises(&self, served: &ModuleCapabilities, health: &Health) -> bool {
        let _ = served;
        health.status() != HealthStatus::Unhealthy || health.since_instant().elapsed() < PATIENCE
    }

    /// Why to take nothing new, let what is under way end, and end then; `None` to go on, which is the standard.
    fn drain(&self, health: &Health) -> Option<String> {
        let _ = health;
        None
    }

    /// Whether the node registers itself, unless the [node was told](super::MinerNode::register). It does not, by default.
    fn register(&self) -> Register {
        Register::Never
    }
}

/// Serves a module, and tells its subnet all that it claims, as long as it answers.
#[derive(Clone)]
pub struct StandardMiner {
    module: Arc<dyn InferenceModule>,
}

impl StandardMiner {
    /// Serves `module`.
    pub fn new(module: impl InferenceModule) -> Self {
        Self {
            module: Arc::new(module),
        }
    }
}

impl Miner for StandardMiner {
    fn module(&self) -> Arc<dyn InferenceModule> {
        self.module.clone()
    }
}

impl fmt::Debug for StandardMiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandardMiner")
            .field("module", &self.module.get_capabilities().name)
            .finish()
    }
}
