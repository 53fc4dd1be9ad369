//! Docker, as it runs modules.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
    },
};
use synapse_core::Error;
use tokio::time::{Instant, sleep};

use crate::{
    Container, ContainerSpec, Owner,
    fault::{fault, is_being_removed, is_gone},
    hardened,
    owner::{Life, OWNER},
};

/// Where Docker listens unless it is said.
const USUAL: &str = "unix:///var/run/docker.sock";
/// How long a removal that somebody else began may take, and how often it is looked at.
const REMOVAL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Runs containers for one [`Owner`]. A clone shares everything.
///
/// It keeps no connection: a daemon that was restarted is simply asked again.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    docker: Docker,
    host: String,
    owner: Owner,
}

/// What [`Runtime::reconcile`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Containers of an earlier life, now removed.
    pub removed: usize,
    /// Containers of this owner whose process runs, or cannot be seen from here.
    pub left: usize,
}

impl Runtime {
    /// Docker as `DOCKER_HOST` names it, else at its usual socket.
    ///
    /// # Errors
    /// As [`connect_to`](Self::connect_to).
    pub async fn connect(owner: Owner) -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| USUAL.to_owned());
        Self::connect_to(&host, owner).await
    }

    /// Docker at `host`, a Unix socket of this machine: `unix:///var/run/docker.sock`.
    ///
    /// # Errors
    /// `docker_not_local` where it is another kind of address; `docker_unreachable` where nobody answers.
    pub async fn connect_to(host: &str, owner: Owner) -> Result<Self, Error> {
        if !host.starts_with("unix://") {
            return Err(Error::invalid(
                "docker_not_local",
                format!("cannot run modules with the Docker at {host}: they are talked to over sockets of this machine"),
            )
            .with_hint("name a Docker of this machine, as unix:///var/run/docker.sock"));
        }
        let docker = Docker::connect_with_host(host).map_err(|error| fault(&reach(host), error))?;
        let runtime = Self(Arc::new(Shared {
            docker,
            host: host.to_owned(),
            owner,
        }));
        runtime.ping().await?;
        Ok(runtime)
    }

    /// Whether Docker answers.
    ///
    /// # Errors
    /// `docker_unreachable` where it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let answered = self.docker().ping().await;
        answered
            .map(drop)
            .map_err(|error| fault(&reach(&self.0.host), error))
    }

    /// Whose containers it runs.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.0.owner
    }

    /// Starts a container, as replica `number` of its kind. It may not listen yet.
    ///
    /// # Cancel safety
    /// Dropped before it ends, it may leave a container behind, which the next life's [`reconcile`](Self::reconcile)
    /// removes: let it run in a task of its own.
    ///
    /// # Errors
    /// `image_not_found`, `bad_command`, `bad_mount`, `bad_limit`, `sandbox_missing`, `gpu_unsupported`, or
    /// `docker_refused` with what Docker says. Nothing is left of it then.
    pub async fn start(&self, spec: &ContainerSpec, number: u32) -> Result<Container, Error> {
        let image = spec.image();
        let name = format!("synapse-{}-{number}-{:08x}", self.0.owner.name(), fresh());
        let labels = self.0.owner.labels(number);
        let socket = self.0.host.strip_prefix("unix://");
        let body = hardened::container(spec, socket, &name, labels.clone())?;

        let volume = hardened::volume(&name, labels);
        let volume = self
            .docker()
            .create_volume(volume)
            .await
            .map_err(|error| fault(&format!("make a directory for {image}"), error))?;
        match self.create(image, &name, body).await {
            Ok(id) => Ok(Container::new(
                self.clone(),
                id,
                name,
                PathBuf::from(volume.mountpoint),
            )),
            Err(error) => {
                self.remove(&name, &name).await.ok();
                Err(error)
            }
        }
    }

    async fn create(&self, image: &str, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let attempt = format!("start the image {image}");
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let created = self.docker().create_container(Some(options), body).await;
        let id = created.map_err(|error| fault(&attempt, error))?.id;
        let started = self.docker().start_container(&id, None).await;
        started.map_err(|error| fault(&attempt, error))?;
        Ok(id)
    }

    /// Removes what processes of this owner that ended left behind: containers that still run, or ran, and their
    /// directories. Worth doing whenever a process starts, and after Docker was restarted.
    ///
    /// # Errors
    /// Where Docker cannot be asked, or cannot remove one of them.
    pub async fn reconcile(&self) -> Result<Reconciled, Error> {
        let ours = HashMap::from([("label", vec![format!("{OWNER}={}", self.0.owner.name())])]);
        let attempt = "look for containers of an earlier run";
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&ours)
            .build();
        let containers = self.docker().list_containers(Some(options)).await;
        let mut found = Reconciled::default();
        for container in containers.map_err(|error| fault(attempt, error))? {
            match self.0.owner.life(&container.labels.unwrap_or_default()) {
                Life::Ours => {}
                Life::Elsewhere => found.left += 1,
                Life::Over => {
                    let id = container.id.unwrap_or_default();
                    let name = container.names.and_then(|names| names.into_iter().next());
                    let name = name.unwrap_or_default();
                    let name = name.trim_start_matches('/');
                    self.remove(&id, name).await?;
                    tracing::info!(container = name, "removed a container of an earlier run");
                    found.removed += 1;
                }
            }
        }
        let options = ListVolumesOptionsBuilder::new().filters(&ours).build();
        let volumes = self.docker().list_volumes(Some(options)).await;
        let volumes = volumes.map_err(|error| fault(attempt, error))?.volumes;
        for volume in volumes.unwrap_or_default() {
            if self.0.owner.life(&volume.labels) == Life::Over {
                self.remove_volume(&volume.name).await?;
            }
        }
        Ok(found)
    }

    /// Ends and removes a container, and its directory. One that is gone already counts as removed; one that is being
    /// removed, since an earlier life asked for that just before it was killed, is waited for.
    pub(crate) async fn remove(&self, container: &str, volume: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let until = Instant::now() + REMOVAL;
        loop {
            let removed = self.docker().remove_container(container, Some(options.clone()));
            match removed.await {
                Err(error) if is_being_removed(&error) && Instant::now() < until => sleep(LOOK).await,
                Err(error) if !is_gone(&error) => {
                    return Err(fault(&format!("remove the container {volume}"), error));
                }
                _ => break,
            }
        }
        self.remove_volume(volume).await
    }

    async fn remove_volume(&self, volume: &str) -> Result<(), Error> {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        match self.docker().remove_volume(volume, Some(options)).await {
            Err(error) if !is_gone(&error) => Err(fault(
                &format!("remove the directory of the container {volume}"),
                error,
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.0.docker
    }
}

fn reach(host: &str) -> String {
    format!("reach Docker at {host}")
}

/// A number that tells a container from the others of this machine.
fn fresh() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(std::time::Instant::now());
    u32::try_from(random >> 32).expect("half of it is left")
}
