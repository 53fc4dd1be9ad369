//! A module that says what it heard.

use async_trait::async_trait;

use crate::{
    Body, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Prompt, Task, Usage,
};

/// Says the last message back, a word a chunk. Counts words as tokens.
#[derive(Debug, Clone)]
pub struct Echo {
    model: String,
}

impl Echo {
    /// An echo that answers to the model `echo`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("echo")
    }

    /// An echo that answers to another name.
    pub fn named(model: impl Into<String>) -> Self {
        Self { model: model.into() }
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl InferenceModule for Echo {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("echo")
            .with_task(Task::CHAT)
            .with_task(Task::TEXT_COMPLETION)
            .with_model(ModelInfo::new(&*self.model))
            .with_streaming()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        let request = input.request()?;
        let heard = match &request.prompt {
            Prompt::Messages(messages) => messages.last().and_then(|message| message.content.text()),
            Prompt::Texts(texts) => texts.first().map(Into::into),
            Prompt::Tokens(_) => None,
        };
        let heard = heard.ok_or_else(|| Error::unsupported("no_text", "an echo hears only text"))?;
        let cap = request
            .params
            .max_tokens
            .map_or(usize::MAX, |tokens| tokens as usize);
        let words: Vec<&str> = heard.split_inclusive(' ').collect();
        let reason = if words.len() > cap {
            FinishReason::Length
        } else {
            FinishReason::Stop
        };
        let usage = Usage {
            input_tokens: words.len() as u64,
            output_tokens: words.len().min(cap) as u64,
        };
        let said = words.iter().take(cap).map(|word| Delta::text(*word));
        Ok(Output::new(Body::from_deltas(
            said.chain([Delta::finish(reason).with_usage(usage)]),
        )))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}
