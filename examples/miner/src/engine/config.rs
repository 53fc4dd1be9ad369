//! What answers, as the configuration has it.

use std::path::PathBuf;

use node_args::config::{check_endpoint, check_variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Endpoint,
    config::{Configuration as _, Period, Wrong},
};
#[cfg(target_os = "linux")]
use synapse_miner::container::ContainerConfig;

/// What answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineConfig {
    /// An Ollama.
    #[schemars(extend("x-flag" = "ollama", "x-value" = "URL", "x-example" = "http://127.0.0.1:11434", "x-shown" = true, "x-restart" = true))]
    pub(crate) ollama: Option<String>,
    /// A llama-server.
    #[schemars(extend("x-flag" = "llama-server", "x-value" = "URL", "x-example" = "http://127.0.0.1:8080", "x-restart" = true))]
    pub(crate) llama_server: Option<String>,
    /// A vLLM.
    #[schemars(extend("x-flag" = "vllm", "x-value" = "URL", "x-example" = "http://127.0.0.1:8000", "x-restart" = true))]
    pub(crate) vllm: Option<String>,
    /// Any endpoint that speaks the OpenAI API, without /v1.
    #[schemars(extend("x-flag" = "upstream", "x-value" = "URL", "x-example" = "https://api.example.com", "x-restart" = true))]
    pub(crate) upstream: Option<String>,
    /// A language model, a GGUF file, in this process.
    #[schemars(extend("x-flag" = "llama", "x-value" = "MODEL.gguf", "x-example" = "model.gguf", "x-restart" = true))]
    pub(crate) llama: Option<PathBuf>,
    /// A module of one's own: the one of examples/custom_module, which answers with the last message, louder.
    #[schemars(extend("x-flag" = "custom", "x-restart" = true))]
    pub(crate) custom: bool,
    /// With ollama and llama_server: the program, which is started here and watched; it listens where the address says.
    /// Where this is left out, the engine runs already.
    #[schemars(extend("x-flag" = "start", "x-value" = "PROGRAM", "x-example" = "ollama", "x-restart" = true))]
    pub(crate) start: Option<PathBuf>,
    /// With ollama: the models that are served; all that it has where this is left out. With llama_server that is started:
    /// the one GGUF file.
    #[schemars(extend("x-flag" = "model", "x-value" = "MODEL", "x-example" = ["smollm2:135m"], "x-restart" = true))]
    pub(crate) models: Vec<String>,
    /// The longest prompt and reply together, in tokens; 2048 with llama, and the engine's own with others, where this is
    /// left out.
    #[schemars(range(min = 1), extend("x-flag" = "context", "x-example" = 4096, "x-restart" = true))]
    pub(crate) context: Option<u32>,
    /// With llama, and a llama_server that is started: threads; all of the machine's where this is left out.
    #[schemars(range(min = 1, max = 4096), extend("x-flag" = "threads", "x-example" = 8, "x-restart" = true))]
    pub(crate) threads: Option<u32>,
    /// With an engine that is started: NVIDIA's GPUs that it may use, by number; all of them where this is left out.
    #[schemars(extend("x-flag" = "gpus", "x-value" = "NUMBER", "x-example" = [0], "x-restart" = true))]
    pub(crate) gpus: Vec<u32>,
    /// With ollama: how long a model stays in memory after its last request; Ollama's own 5 minutes where this is left out.
    #[schemars(extend("x-flag" = "keep-alive", "x-example" = "1h", "x-restart" = true))]
    pub(crate) keep_alive: Option<Period>,
    /// With llama, and a llama_server that is started: the name that requests use for the model; that of its file where this
    /// is left out.
    #[schemars(extend("x-flag" = "model-id", "x-value" = "NAME", "x-example" = "smollm2-135m", "x-restart" = true))]
    pub(crate) model_id: Option<String>,
    /// With upstream, llama_server and vllm: the environment variable with the key that the endpoint wants.
    #[schemars(extend("x-flag" = "upstream-key-env", "x-value" = "NAME", "x-example" = "UPSTREAM_KEY", "x-restart" = true))]
    pub(crate) upstream_key_env: Option<String>,
    /// With custom: how often it says the last message; once where this is left out.
    #[schemars(range(min = 1), extend("x-flag" = "times", "x-example" = 3, "x-restart" = true))]
    pub(crate) times: Option<u32>,
    /// With custom: milliseconds before each word, as if it were a large model; none where this is left out.
    #[schemars(extend("x-flag" = "pause-ms", "x-example" = 50, "x-restart" = true))]
    pub(crate) pause_ms: Option<u64>,
    /// An image that is run here, in a sandbox, and serves the OpenAI API on the socket that it is told.
    #[cfg(target_os = "linux")]
    pub(crate) container: ContainerConfig,
}

impl EngineConfig {
    pub(crate) fn check(&self, wrong: &mut Wrong) {
        let kinds = [
            ("ollama", self.ollama.is_some()),
            ("llama_server", self.llama_server.is_some()),
            ("vllm", self.vllm.is_some()),
            ("upstream", self.upstream.is_some()),
            ("container", self.is_contained()),
            ("llama", self.llama.is_some()),
            ("custom", self.custom),
        ];
        let mut named = kinds.iter().filter(|(_, is_named)| *is_named);
        match (named.next(), named.next()) {
            (None, _) => wrong.add(
                "ollama",
                "nothing answers; name one of ollama, llama_server, vllm, upstream, container, llama and custom",
            ),
            (Some((first, _)), Some((second, _))) => {
                wrong.add(second, format!("there is {first}, too; name one of the two"));
            }
            (Some((kind, _)), None) => self.check_options(kind, wrong),
        }
        for (key, url) in [
            ("ollama", &self.ollama),
            ("llama_server", &self.llama_server),
            ("vllm", &self.vllm),
            ("upstream", &self.upstream),
        ] {
            check_endpoint(wrong, key, url.as_deref());
        }
        check_variable(wrong, "upstream_key_env", self.upstream_key_env.as_deref());
        #[cfg(target_os = "linux")]
        wrong.within("container", |wrong| self.container.check(wrong));
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn is_contained(&self) -> bool {
        !self.container.image.is_empty()
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_contained(&self) -> bool {
        false
    }

    /// Refuses options that this kind of engine would not hear.
    fn check_options(&self, kind: &str, wrong: &mut Wrong) {
        const STARTED: [&str; 2] = ["ollama", "llama_server"];
        const OF_STARTED: [&str; 3] = ["threads", "gpus", "model_id"];
        let is_started = self.start.is_some();
        let options: [(&str, bool, &[&str]); 10] = [
            ("start", is_started, &STARTED),
            ("models", !self.models.is_empty(), &STARTED),
            (
                "context",
                self.context.is_some(),
                &["ollama", "llama_server", "llama"],
            ),
            ("threads", self.threads.is_some(), &["llama", "llama_server"]),
            ("gpus", !self.gpus.is_empty(), &STARTED),
            ("keep_alive", self.keep_alive.is_some(), &["ollama"]),
            ("model_id", self.model_id.is_some(), &["llama", "llama_server"]),
            (
                "upstream_key_env",
                self.upstream_key_env.is_some(),
                &["upstream", "llama_server", "vllm"],
            ),
            ("times", self.times.is_some(), &["custom"]),
            ("pause_ms", self.pause_ms.is_some(), &["custom"]),
        ];
        for (option, is_set, takes) in options {
            if !is_set {
                continue;
            }
            if !takes.contains(&kind) {
                wrong.add(option, format!("it is only for {}", takes.join(" and ")));
            } else if OF_STARTED.contains(&option) && STARTED.contains(&kind) && !is_started {
                wrong.add(
                    option,
                    "it is only for an engine that is started here: name its program in start",
                );
            }
        }
        if kind == "llama_server" && !is_started && (!self.models.is_empty() || self.context.is_some()) {
            wrong.add(
                "models",
                "a llama-server that runs already has its model and its context",
            );
        }
        if kind == "llama_server" && is_started && self.models.len() != 1 {
            wrong.add("models", "name the one GGUF file that it is to serve");
        }
        if STARTED.contains(&kind) && is_started && self.port().is_none() {
            wrong.add(
                kind,
                "its program is started here, so the address is http://127.0.0.1:PORT",
            );
        }
    }

    /// Whether there can be several of it.
    pub(crate) fn is_scaled(&self) -> bool {
        self.is_contained() || (self.llama_server.is_some() && self.start.is_some())
    }

    /// Where an engine that is started here is to listen; `None` where its address is on no port of this machine.
    pub(crate) fn port(&self) -> Option<u16> {
        let url = self.ollama.as_ref().or(self.llama_server.as_ref())?;
        let endpoint = Endpoint::http(url).ok()?.to_string();
        let (host, port) = endpoint.strip_prefix("http://")?.rsplit_once(':')?;
        let is_here = matches!(host, "127.0.0.1" | "localhost");
        port.parse().ok().filter(|port| is_here && *port > 0)
    }
}
