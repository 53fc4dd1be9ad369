//! An image that is run here, as a module.
//!
//! The image holds a server of OpenAI's API, or one of ours, that listens on the Unix socket which `SYNAPSE_SOCKET` names.
//! It is run as [`synapse_container`] runs everything: without a network, and within limits. When it ends, it is started
//! again, each time a little later; when it does not answer for a minute, it is ended first. Docker may be restarted
//! meanwhile: what runs goes on to answer, and what the new daemon ended is started again.
//!
//! ```no_run
//! use synapse_container::{ContainerSpec, Owner, Runtime};
//! use synapse_miner::container::ContainerModule;
//!
//! # let _ = async {
//! let runtime = Runtime::connect(Owner::new("miner-1")?).await?;
//! // What an earlier run left behind when it was killed.
//! runtime.reconcile().await?;
//! let spec = ContainerSpec::new("registry.example/shout:1").memory(1 << 30).cpus(1.0);
//! let module = ContainerModule::builder(runtime, spec).start().await?;
//! # drop(module);
//! # Ok::<(), synapse_core::Error>(())
//! # };
//! ```
//!
//! # What goes wrong, and what it is called
//! | code | what happened |
//! | --- | --- |
//! | `image_not_found`, `bad_command` | the image, or what it is to run, is not there |
//! | `container_exited` | it ended before it was ready; its last lines are told |
//! | `container_not_ready` | it did not listen, or was not ready, in time; its last lines are told |
//! | `container_no_interface` | it answers, and speaks neither our API nor OpenAI's |
//! | `not_a_socket` | it put something else where its socket belongs |
//! | `container_restarting` | it ended, and is being started again |

#[cfg(feature = "config")]
mod config;
mod keeper;
mod module;
mod ready;
mod spawner;

#[cfg(feature = "config")]
pub use self::config::{ContainerConfig, SandboxChoice};
pub use self::{
    module::{Builder, ContainerModule},
    spawner::ContainerSpawner,
};
