//! What this machine has, and what of it is free.

mod resources;

pub use self::resources::{Gpu, Resources};

/// Looks at this machine every so often, and keeps what it saw. A clone sees the same.
#[derive(Debug, Clone, Default)]
pub struct ResourceMonitor(std::sync::Arc<std::sync::RwLock<Resources>>);

impl ResourceMonitor {
    /// Looks from now on.
    #[must_use]
    pub fn start() -> Self {
        Self::default()
    }

    /// What it saw last.
    #[must_use]
    pub fn latest(&self) -> Resources {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}
