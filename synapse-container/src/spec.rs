//! What is to run, and what it may have.

use std::path::{Path, PathBuf};

/// An image to run, and the limits it runs within.
///
/// Whatever the image says, it runs without a network, without capabilities, on a root that cannot be written, as a user
/// who owns nothing, and with the system calls of [our list](crate::SECCOMP) alone. What is left is set here.
///
/// ```
/// use synapse_container::{ContainerSpec, Sandbox};
///
/// let spec = ContainerSpec::new("registry.example/shout:1")
///     .memory(2 << 30)
///     .cpus(1.5)
///     .read_only("/srv/models/shout", "/models")
///     .env("SHOUT_MODEL", "/models/shout.gguf")
///     .sandbox(Sandbox::GVisor);
/// # let _ = spec;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ContainerSpec {
    pub(crate) image: String,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<(PathBuf, PathBuf)>,
    pub(crate) gpus: Option<Gpus>,
    pub(crate) sandbox: Sandbox,
    pub(crate) limits: Limits,
}

/// What a container may use; each is enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub(crate) memory: u64,
    pub(crate) cpus: f64,
    pub(crate) processes: u32,
    pub(crate) open_files: u32,
    pub(crate) scratch: u64,
}

/// What stands between a container and the machine's kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sandbox {
    /// The kernel itself, behind a list of system calls.
    #[default]
    Hardened,
    /// gVisor's kernel in user space (`runsc`), which the machine must have. Stricter, and slower where a module makes many
    /// system calls.
    GVisor,
}

/// The GPUs that a container sees. Docker needs NVIDIA's container toolkit for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gpus {
    /// All of them.
    All,
    /// Those with these numbers or UUIDs, as `nvidia-smi -L` lists them.
    These(Vec<String>),
}

impl ContainerSpec {
    /// Runs `image`, which the machine must have already: by name and tag, or by digest.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            command: None,
            env: Vec::new(),
            mounts: Vec::new(),
            gpus: None,
            sandbox: Sandbox::default(),
            limits: Limits {
                memory: 4 << 30,
                cpus: 2.0,
                processes: 256,
                open_files: 4096,
                scratch: 64 << 20,
            },
        }
    }

    /// The image's name.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What it runs, after the image's entry point. The image's own command unless set.
    pub fn command(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = Some(words.into_iter().map(Into::into).collect());
        self
    }

    /// A variable of its environment. Docker shows it to everybody who may inspect the container: no place for keys.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A file or directory of this machine that it may read, such as the weights of a model. Refused where it would show
    /// Docker's own socket or the kernel's file systems.
    pub fn read_only(mut self, source: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        self.mounts.push((source.as_ref().into(), target.as_ref().into()));
        self
    }

    /// Its memory, in bytes, what it writes to `/tmp` included; past it the kernel ends it. There is no swap. 4 GiB unless
    /// set.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = bytes;
        self
    }

    /// Its share of the processors, in cores. 2 unless set.
    pub fn cpus(mut self, cores: f64) -> Self {
        self.limits.cpus = cores;
        self
    }

    /// How many processes and threads it may have. 256 unless set.
    pub fn processes(mut self, count: u32) -> Self {
        self.limits.processes = count;
        self
    }

    /// How many files each of its processes may have open. 4096 unless set.
    pub fn open_files(mut self, count: u32) -> Self {
        self.limits.open_files = count;
        self
    }

    /// The size of its `/tmp`, in bytes; it lies in memory, and nothing in it can be executed. 64 MiB unless set.
    pub fn scratch(mut self, bytes: u64) -> Self {
        self.limits.scratch = bytes;
        self
    }

    /// The GPUs that it sees. None unless set.
    pub fn gpus(mut self, gpus: Gpus) -> Self {
        self.gpus = Some(gpus);
        self
    }

    /// What stands between it and the kernel.
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }
}
