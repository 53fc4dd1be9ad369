//! An engine, as a program's configuration has it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Period, Wrong};

use super::{Devices, EngineSpec, WarmUp};

/// An engine that the miner starts, watches and starts again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Which engine is started; none unless set.
    #[schemars(extend("x-flag" = "engine", "x-restart" = true))]
    pub name: EngineName,
    /// Its program, where it is not found by the engine's name.
    #[schemars(extend("x-flag" = "engine-program", "x-value" = "FILE", "x-restart" = true))]
    pub program: Option<PathBuf>,
    /// Its model: llama-server's GGUF file, vLLM's name or folder, the model that Ollama loads when it starts.
    #[schemars(extend("x-flag" = "engine-model", "x-value" = "MODEL", "x-restart" = true))]
    pub model: Option<String>,
    /// The port of 127.0.0.1 on which it listens; a free one unless set.
    #[schemars(range(min = 1), extend("x-flag" = "engine-port", "x-restart" = true))]
    pub port: Option<u16>,
    /// Requests that it works on at once; its own choice unless set.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "engine-slots", "x-restart" = true))]
    pub slots: Option<u32>,
    /// The longest context of one request, in tokens; its own choice unless set.
    #[schemars(range(min = 1), extend("x-flag" = "engine-context", "x-restart" = true))]
    pub context: Option<u32>,
    /// Threads of the processor that compute; its own choice unless set.
    #[schemars(range(min = 1, max = 1024), extend("x-flag" = "engine-threads", "x-restart" = true))]
    pub threads: Option<u32>,
    /// Who made the GPUs that are counted below.
    #[schemars(extend("x-flag" = "engine-gpu-maker", "x-restart" = true))]
    pub gpu_maker: GpuMaker,
    /// The GPUs that it sees; all unless set.
    #[schemars(extend("x-restart" = true))]
    pub gpus: Vec<u32>,
    /// How long it may take until it is ready.
    #[schemars(extend("x-most" = "1d", "x-restart" = true))]
    pub start_limit: Period,
}

/// Which engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EngineName {
    /// The miner starts none.
    #[default]
    None,
    /// `ollama serve`.
    Ollama,
    /// llama.cpp's `llama-server`.
    LlamaServer,
    /// `vllm serve`.
    Vllm,
}

/// Who made the GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GpuMaker {
    /// `CUDA_VISIBLE_DEVICES`.
    #[default]
    Nvidia,
    /// `ROCR_VISIBLE_DEVICES`.
    Amd,
    /// `ONEAPI_DEVICE_SELECTOR`.
    Intel,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            name: EngineName::default(),
            program: None,
            model: None,
            port: None,
            slots: None,
            context: None,
            threads: None,
            gpu_maker: GpuMaker::default(),
            gpus: Vec::new(),
            start_limit: Period::seconds(600),
        }
    }
}

impl EngineConfig {
    /// The engine, whose process is noted in `data`, and what it writes kept there, 16 MiB of it twice; `None` where none
    /// is to be started.
    #[must_use]
    pub fn spec(&self, data: Option<&Path>) -> Option<EngineSpec> {
        let program = |usual: &str| self.program.clone().unwrap_or_else(|| usual.into());
        let model = self.model.clone().unwrap_or_default();
        let mut spec = match self.name {
            EngineName::None => return None,
            EngineName::Ollama if model.is_empty() => EngineSpec::ollama(program("ollama")),
            EngineName::Ollama => EngineSpec::ollama(program("ollama")).warm_up(WarmUp::ollama(&model)),
            EngineName::LlamaServer => EngineSpec::llama_server(program("llama-server"), model),
            EngineName::Vllm => EngineSpec::vllm(model).program(program("vllm")),
        };
        if let Some(port) = self.port {
            spec = spec.port(port);
        }
        if let Some(slots) = self.slots {
            spec = spec.slots(slots);
        }
        if let Some(context) = self.context {
            spec = spec.context(context);
        }
        if let Some(threads) = self.threads {
            spec = spec.threads(threads);
        }
        if !self.gpus.is_empty() {
            let gpus = self.gpus.iter().copied();
            spec = spec.devices(match self.gpu_maker {
                GpuMaker::Nvidia => Devices::cuda(gpus),
                GpuMaker::Amd => Devices::rocm(gpus),
                GpuMaker::Intel => Devices::intel(gpus),
            });
        }
        if let Some(data) = data {
            spec = spec.state_dir(data).log_file(data.join("engine.log"), 16 << 20);
        }
        Some(spec.start_limit(self.start_limit.get()))
    }
}

impl Configuration for EngineConfig {
    fn check(&self, wrong: &mut Wrong) {
        let needs_model = matches!(self.name, EngineName::LlamaServer | EngineName::Vllm);
        if needs_model && self.model.as_ref().is_none_or(String::is_empty) {
            wrong.add("model", "this engine is started with a model");
        }
        if self.threads.is_some() && matches!(self.name, EngineName::Ollama | EngineName::Vllm) {
            wrong.add("threads", "this engine is not told when it is started");
        }
    }
}
