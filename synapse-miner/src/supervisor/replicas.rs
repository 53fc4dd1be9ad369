//! More than one engine of a kind.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use synapse_core::{Error, InferenceModule, async_trait};

use super::{Devices, EngineSpec, Supervised};
use crate::scale::Spawner;

type Make = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn InferenceModule>, Error>> + Send + Sync>;

/// Starts engines of one description, each a process with a name, a port and a device of its own.
#[derive(Clone)]
pub struct EngineReplicas {
    spec: EngineSpec,
    devices: Vec<Devices>,
    make: Make,
}

impl EngineReplicas {
    /// Engines as `spec` says, but that the name of each ends with its number, and a fixed port is the first one's; `module`
    /// makes a module for a URL, as [`Supervised::start`] has it.
    pub fn new<M, F, Fut>(spec: EngineSpec, module: F) -> Self
    where
        M: InferenceModule,
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, Error>> + Send + 'static,
    {
        let make: Make = Arc::new(move |url| {
            let made = module(url);
            Box::pin(async move { Ok(Arc::new(made.await?) as Arc<dyn InferenceModule>) })
        });
        Self {
            spec,
            devices: Vec::new(),
            make,
        }
    }

    /// The devices of each, in turn. Those of the description unless set.
    #[must_use]
    pub fn devices(mut self, devices: impl IntoIterator<Item = Devices>) -> Self {
        self.devices = devices.into_iter().collect();
        self
    }

    /// How the replica of this number is started.
    pub fn spec(&self, number: u32) -> EngineSpec {
        let mut spec = self.spec.clone();
        spec.name = format!("{}-{number}", self.spec.name).into();
        spec.port = spec.port.and_then(|first| {
            let port = u32::from(first).saturating_add(number);
            u16::try_from(port).ok()
        });
        if let Some((path, _)) = &mut spec.log_file {
            path.as_mut_os_string().push(format!(".{number}"));
        }
        if !self.devices.is_empty() {
            let turn = usize::try_from(number).unwrap_or_default() % self.devices.len();
            spec.devices = Some(self.devices[turn].clone());
        }
        spec
    }
}

#[async_trait]
impl Spawner for EngineReplicas {
    async fn start(&self, number: u32) -> Result<Arc<dyn InferenceModule>, Error> {
        let make = self.make.clone();
        let replica = Supervised::start(self.spec(number), move |url| make(url))?;
        match replica.initialize().await {
            Ok(()) => Ok(Arc::new(replica)),
            Err(error) => {
                let _ = replica.shutdown().await;
                Err(error)
            }
        }
    }
}

impl fmt::Debug for EngineReplicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineReplicas")
            .field("spec", &self.spec)
            .field("devices", &self.devices)
            .finish_non_exhaustive()
    }
}
