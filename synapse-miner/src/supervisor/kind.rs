//! What is particular to each kind of engine.

use std::{ffi::OsString, net::SocketAddr};

use super::EngineSpec;

/// A kind of engine: by it is known how it is told where to listen, how it says that it is ready, and where it publishes
/// what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineKind {
    /// llama.cpp's server: `/health`, `/slots`, `/metrics`.
    LlamaServer,
    /// Ollama: `/api/version`, `/api/ps`.
    Ollama,
    /// vLLM: `/health`, `/metrics`.
    Vllm,
    /// Something else, which publishes no load.
    Other,
}

/// What is asked of an engine before it counts as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    pub(super) path: String,
    pub(super) body: String,
}

impl WarmUp {
    /// A `POST` of this JSON to this path; any success counts.
    pub fn new(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self {
            path: path.into(),
            body: body.to_string(),
        }
    }

    /// Has Ollama load this model, with what requests that say nothing of it get, and make one token.
    #[must_use]
    pub fn ollama(model: &str) -> Self {
        let options = serde_json::json!({ "num_predict": 1 });
        Self::new(
            "/api/generate",
            &serde_json::json!({ "model": model, "prompt": "Hi", "stream": false, "options": options }),
        )
    }

    /// Has a server that speaks OpenAI's format make one token.
    #[must_use]
    pub fn openai(model: &str) -> Self {
        Self::new(
            "/v1/completions",
            &serde_json::json!({ "model": model, "prompt": "Hi", "max_tokens": 1 }),
        )
    }
}

impl EngineKind {
    /// What answers 200 once it is ready.
    pub(super) fn probe(self) -> &'static str {
        match self {
            Self::LlamaServer | Self::Vllm | Self::Other => "/health",
            Self::Ollama => "/api/version",
        }
    }

    /// Whether its load tells of progress, a token or a part of a prompt at a time.
    pub(super) fn shows_progress(self) -> bool {
        matches!(self, Self::LlamaServer | Self::Vllm)
    }

    /// Variables that make it write prompts into its log.
    pub(super) fn talkative(self) -> &'static [&'static str] {
        match self {
            Self::LlamaServer => &[
                "LLAMA_SERVER_SLOTS_DEBUG",
                "LLAMA_ARG_LOG_VERBOSITY",
                "LLAMA_LOG_VERBOSITY",
            ],
            Self::Ollama => &["OLLAMA_DEBUG", "OLLAMA_DEBUG_LOG_REQUESTS"],
            Self::Vllm => &["VLLM_LOGGING_LEVEL", "VLLM_DEBUG_LOG_API_SERVER_RESPONSE"],
            Self::Other => &[],
        }
    }

    /// What it is asked for besides inference: for its load, and by the module of it how it is.
    pub(super) fn looks(self) -> &'static [&'static str] {
        match self {
            Self::LlamaServer => &["/slots", "/metrics", "/props", "/v1/models"],
            Self::Ollama => &["/api/ps", "/api/tags", "/v1/models"],
            Self::Vllm => &["/metrics", "/version", "/v1/models"],
            Self::Other => &["/v1/models"],
        }
    }

    /// Its arguments and its environment, to listen on `address`.
    pub(super) fn command(self, spec: &EngineSpec, address: SocketAddr) -> Command {
        let mut command = Command::default();
        let model = spec.model.as_ref().map(|model| model.clone().into_os_string());
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        match self {
            Self::LlamaServer => {
                if let Some(model) = model {
                    command.flag("--model", model);
                }
                command.flag("--host", host);
                command.flag("--port", port);
                command.switch("--slots");
                command.switch("--metrics");
                command.number("--threads", spec.threads);
                command.number("--parallel", spec.slots);
                // The server divides its context among the slots.
                let whole = spec
                    .context
                    .map(|each| each.saturating_mul(spec.slots.unwrap_or(1)));
                command.number("--ctx-size", whole);
            }
            Self::Ollama => {
                command.switch("serve");
                command.variable("OLLAMA_HOST", address.to_string());
                if let Some(slots) = spec.slots {
                    command.variable("OLLAMA_NUM_PARALLEL", slots.to_string());
                }
                if let Some(context) = spec.context {
                    command.variable("OLLAMA_CONTEXT_LENGTH", context.to_string());
                }
            }
            Self::Vllm => {
                command.switch("serve");
                if let Some(model) = model {
                    command.arguments.push(model);
                }
                command.flag("--host", host);
                command.flag("--port", port);
                command.number("--max-num-seqs", spec.slots);
                command.number("--max-model-len", spec.context);
            }
            Self::Other => {}
        }
        let filled = |text: &OsString| match text.to_str() {
            Some(text) => OsString::from(
                text.replace("{port}", &address.port().to_string())
                    .replace("{address}", &address.to_string()),
            ),
            None => text.clone(),
        };
        command.arguments.extend(spec.arguments.iter().map(filled));
        if let Some(devices) = &spec.devices {
            for (name, value) in devices.variables() {
                command.variable(name, value.to_owned());
            }
            command.removed.extend(devices.removed());
        }
        let own = spec.environment.iter();
        command
            .environment
            .extend(own.map(|(name, value)| (name.clone(), filled(value))));
        command.removed.extend(self.talkative());
        command
    }
}

/// What a program is started with.
#[derive(Default)]
pub(super) struct Command {
    pub(super) arguments: Vec<OsString>,
    /// Set after what is removed.
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) removed: Vec<&'static str>,
}

impl Command {
    fn switch(&mut self, name: &str) {
        self.arguments.push(name.into());
    }

    fn flag(&mut self, name: &str, value: impl Into<OsString>) {
        self.arguments.extend([name.into(), value.into()]);
    }

    fn number(&mut self, name: &str, value: Option<u32>) {
        if let Some(value) = value {
            self.flag(name, value.to_string());
        }
    }

    fn variable(&mut self, name: &str, value: String) {
        self.environment.push((name.into(), value.into()));
    }
}
