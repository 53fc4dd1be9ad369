//! What an engine says of its own load.

mod llama;
mod ollama;
mod prometheus;
mod vllm;

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use synapse_core::{Error, MetricsData};

use super::{
    EngineKind,
    ask::{self, Reply},
};

/// What an engine says of its own load; what it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EngineLoad {
    /// How many requests it works on at once.
    pub slots: Option<u32>,
    /// How many it works on now.
    pub busy: Option<u32>,
    /// How many wait within it.
    pub waiting: Option<u32>,
    /// How much of its cache of keys and values is taken, from 0 to 1.
    pub kv_cache_used: Option<f64>,
    /// Tokens of prompts that it read since it was started.
    pub prompt_tokens: Option<u64>,
    /// Tokens that it made since it was started.
    pub generated_tokens: Option<u64>,
    /// How fast it reads prompts, in tokens a second: by its own account, else since the last look.
    pub prompt_speed: Option<f64>,
    /// How fast it makes tokens, in tokens a second: by its own account (of one request), else since the last look (of all).
    pub generation_speed: Option<f64>,
    /// The models that are loaded, where it has several.
    pub loaded: Vec<LoadedModel>,
    /// Changes whenever a token is made or a part of a prompt is read.
    #[serde(skip)]
    pub(super) mark: u64,
}

/// A model in an engine's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadedModel {
    /// Its name.
    pub name: String,
    /// What it takes, in bytes.
    #[serde(default)]
    pub size: u64,
    /// What of that is GPUs' memory.
    #[serde(default)]
    pub size_vram: u64,
}

impl EngineLoad {
    /// The same, with its speed since `before` where it does not say that itself.
    pub(super) fn paced(mut self, before: &Self, passed: Duration) -> Self {
        let pace = |now: Option<u64>, then: Option<u64>| {
            let made = u32::try_from(now?.checked_sub(then?)?).ok()?;
            (!passed.is_zero()).then(|| f64::from(made) / passed.as_secs_f64())
        };
        self.prompt_speed = self
            .prompt_speed
            .or_else(|| pace(self.prompt_tokens, before.prompt_tokens));
        self.generation_speed = self
            .generation_speed
            .or_else(|| pace(self.generated_tokens, before.generated_tokens));
        self
    }

    pub(super) fn report(&self, engine: &str, metrics: &mut MetricsData) {
        let of = &[("engine", engine)];
        let gauges = [
            ("engine.slots", self.slots.map(f64::from)),
            ("engine.busy", self.busy.map(f64::from)),
            ("engine.waiting", self.waiting.map(f64::from)),
            ("engine.kv_cache_used", self.kv_cache_used),
        ];
        for (name, value) in gauges {
            if let Some(value) = value {
                metrics.gauge_of(name, of, value);
            }
        }
        for (kind, speed) in [("prompt", self.prompt_speed), ("decode", self.generation_speed)] {
            if let Some(speed) = speed {
                metrics.gauge_of(
                    "engine.tokens_per_second",
                    &[("engine", engine), ("kind", kind)],
                    speed,
                );
            }
        }
        let counters = [
            ("engine.prompt_tokens", self.prompt_tokens),
            ("engine.generated_tokens", self.generated_tokens),
        ];
        for (name, value) in counters {
            if let Some(value) = value {
                metrics.counter_of(name, of, value);
            }
        }
        for model in &self.loaded {
            let labels = &[("engine", engine), ("model", model.name.as_str())];
            metrics.gauge_of("engine.model_bytes", labels, bytes(model.size));
        }
    }

    /// Asks an engine of this kind, at `address`, what it does. Of [`EngineKind::Other`] nothing is known.
    ///
    /// # Errors
    /// `load_unreadable` where it does not answer within `limit`. What it says in words that are not known here counts as
    /// not said.
    pub async fn read(kind: EngineKind, address: SocketAddr, limit: Duration) -> Result<Self, Error> {
        let get = async |path: &str| -> Result<Option<Reply>, Error> {
            let reply = ask::get(address, path, limit).await;
            let reply = reply.map_err(|error| unreadable(address, path).with_source(error))?;
            // It may have been told not to publish.
            Ok((reply.status == 200).then_some(reply))
        };
        let mut load = Self::default();
        match kind {
            EngineKind::LlamaServer => {
                if let Some(slots) = get("/slots").await? {
                    llama::slots(&slots.body, &mut load).unwrap_or_default();
                }
                if let Some(metrics) = get("/metrics").await? {
                    llama::metrics(&metrics.text(), &mut load);
                }
            }
            EngineKind::Vllm => {
                if let Some(metrics) = get("/metrics").await? {
                    vllm::metrics(&metrics.text(), &mut load);
                }
            }
            EngineKind::Ollama => {
                if let Some(running) = get("/api/ps").await? {
                    ollama::running(&running.body, &mut load).unwrap_or_default();
                }
            }
            EngineKind::Other => {}
        }
        Ok(load)
    }
}

fn unreadable(address: SocketAddr, path: &str) -> Error {
    Error::unavailable(
        "load_unreadable",
        format!("the engine at {address} did not say what it does ({path})"),
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and counts below 2^53 are exact"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_precision_loss, reason = "a size past 2^53 may be off by a byte")]
fn bytes(size: u64) -> f64 {
    size as f64
}

fn narrow(value: f64) -> u32 {
    u32::try_from(whole(value)).unwrap_or(u32::MAX)
}
