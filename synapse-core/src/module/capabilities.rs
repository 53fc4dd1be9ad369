//! What a module can do.

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::{Error, Input, Task};

/// The version of this crate's module interface: what a module built against it speaks.
pub const INTERFACE: Version = Version::new(1, 0, 0);

/// What a module can do. A node refuses work, or a module, that does not fit it; what it claims it must serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModuleCapabilities {
    /// The module's name.
    pub name: String,
    /// The module's own version.
    pub version: Version,
    /// The versions of the module interface that it speaks.
    pub interfaces: Vec<Version>,
    /// What it can be asked for.
    pub tasks: Vec<Task>,
    /// The wire formats it forwards without translation; empty of a module in Rust, whose deltas a router renders.
    pub dialects: Vec<String>,
    /// The models it has loaded, or can load on demand.
    pub models: Vec<ModelInfo>,
    /// Whether a streamed reply comes as it is made, rather than at once at the end.
    pub streaming: bool,
    /// The most alternatives with log-probabilities it sends with a token; 0 where it sends none.
    pub top_logprobs: u8,
    /// Whether tokens carry their ids.
    pub token_ids: bool,
    /// Whether a seed makes replies repeat.
    pub seeds: bool,
    /// What it needs of a machine.
    pub resources: ResourceSpec,
    /// How many requests it works on at once; `None` where nothing limits it.
    pub concurrency: Option<u32>,
}

/// A model that a module serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name that requests use.
    pub id: String,
    /// What its weights are, as `sha256:…` of the file, where known.
    pub digest: Option<String>,
    /// Prompt and reply together, in tokens, where known.
    pub context_length: Option<u32>,
    /// The tokenizer's name or digest, where known.
    pub tokenizer: Option<String>,
}

/// What a module needs of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceSpec {
    /// CPU cores, or parts of one.
    pub cpu_cores: f32,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// Memory of an accelerator, in bytes.
    pub gpu_memory_bytes: u64,
    /// Disk, in bytes.
    pub disk_bytes: u64,
}

impl ModuleCapabilities {
    /// A module of this name, at version 0.1.0, that can do nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: Version::new(0, 1, 0),
            interfaces: vec![INTERFACE],
            tasks: Vec::new(),
            dialects: Vec::new(),
            models: Vec::new(),
            streaming: false,
            top_logprobs: 0,
            token_ids: false,
            seeds: false,
            resources: ResourceSpec::default(),
            concurrency: None,
        }
    }

    /// The same at another version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The same with one more task.
    #[must_use]
    pub fn with_task(mut self, task: Task) -> Self {
        if !self.tasks.contains(&task) {
            self.tasks.push(task);
        }
        self
    }

    /// The same with one more model.
    #[must_use]
    pub fn with_model(mut self, model: ModelInfo) -> Self {
        self.models.push(model);
        self
    }

    /// The same, sending replies as they are made.
    #[must_use]
    pub fn with_streaming(mut self) -> Self {
        self.streaming = true;
        self
    }

    /// The model of this name.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&ModelInfo> {
        self.models.iter().find(|model| model.id == id)
    }

    /// Whether it can be asked for `task` of `model`.
    #[must_use]
    pub fn serves(&self, task: &Task, model: &str) -> bool {
        self.tasks.contains(task) && self.model(model).is_some()
    }

    /// Checks that a request asks for a task and a model that are claimed here: what a module does first with one.
    ///
    /// # Errors
    /// `task_unsupported` or `model_not_found`, and what the input says where it names no model.
    pub fn check_input(&self, input: &Input) -> Result<(), Error> {
        if !self.tasks.contains(input.task()) {
            let tasks: Vec<&str> = self.tasks.iter().map(Task::as_str).collect();
            return Err(Error::unsupported(
                "task_unsupported",
                format!("{} cannot do the task {}", self.name, input.task()),
            )
            .with_hint(format!("it does {}", tasks.join(", "))));
        }
        match input.model()? {
            model if self.model(model).is_none() => Err(Error::model_not_found(model)),
            _ => Ok(()),
        }
    }

    /// Checks that the module speaks an interface that a node can use.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), naming both sides' versions.
    pub fn check_interface(&self, wanted: &VersionReq) -> Result<(), Error> {
        if self.interfaces.iter().any(|version| wanted.matches(version)) {
            return Ok(());
        }
        let spoken: Vec<String> = self.interfaces.iter().map(Version::to_string).collect();
        Err(Error::unsupported(
            "interface_mismatch",
            format!(
                "the module {} {} speaks the module interface {}, and this node needs {wanted}",
                self.name,
                self.version,
                if spoken.is_empty() {
                    "of no version".to_owned()
                } else {
                    spoken.join(", ")
                },
            ),
        )
        .with_hint("update the side with the older version"))
    }
}

impl ModelInfo {
    /// A model of which only the name is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            digest: None,
            context_length: None,
            tokenizer: None,
        }
    }

    /// The same with the digest of its weights.
    #[must_use]
    pub fn with_digest(mut self, digest: impl Into<String>) -> Self {
        self.digest = Some(digest.into());
        self
    }

    /// The same with the length of its context, in tokens.
    #[must_use]
    pub fn with_context_length(mut self, tokens: u32) -> Self {
        self.context_length = Some(tokens);
        self
    }

    /// The same with its tokenizer's name.
    #[must_use]
    pub fn with_tokenizer(mut self, name: impl Into<String>) -> Self {
        self.tokenizer = Some(name.into());
        self
    }
}

impl ResourceSpec {
    /// So many cores and so many bytes of main memory.
    #[must_use]
    pub fn new(cpu_cores: f32, memory_bytes: u64) -> Self {
        Self {
            cpu_cores,
            memory_bytes,
            ..Self::default()
        }
    }

    /// The same with memory of an accelerator, in bytes.
    #[must_use]
    pub fn with_gpu_memory(mut self, bytes: u64) -> Self {
        self.gpu_memory_bytes = bytes;
        self
    }

    /// What this and `other` need together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu_cores: self.cpu_cores + other.cpu_cores,
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpu_memory_bytes: self.gpu_memory_bytes.saturating_add(other.gpu_memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }
}
