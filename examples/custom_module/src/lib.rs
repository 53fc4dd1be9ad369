//! A module of one's own: answers with the last message, louder.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use synapse_core::{
    Body, Chunk, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task, async_trait,
};
use tokio::time::sleep;

/// Answers with the last message, louder.
#[derive(Debug, Clone)]
pub struct Shout {
    times: u32,
    pause: Duration,
}

impl Shout {
    /// Says it once, as fast as it can.
    #[must_use]
    pub fn new() -> Self {
        Self {
            times: 1,
            pause: Duration::ZERO,
        }
    }

    /// Says it so often, and takes a breath of `pause` before each word: a reply that takes as long as one of a large
    /// model does, without one.
    #[must_use]
    pub fn slowly(mut self, times: u32, pause: Duration) -> Self {
        (self.times, self.pause) = (times, pause);
        self
    }
}

impl Default for Shout {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl InferenceModule for Shout {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("shout")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("shout"))
            .with_streaming()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        let request = input.request()?;
        let said = request
            .messages()
            .last()
            .and_then(|message| message.content.text())
            .unwrap_or_default()
            .to_uppercase();
        let mut body = Body::new(said_in_words(&said, self.times, self.pause));
        body.peek().await?;
        Ok(Output::new(body))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

/// A chunk a word, each with the space that follows it, and the end.
fn said_in_words(
    said: &str,
    times: u32,
    pause: Duration,
) -> impl Stream<Item = Result<Chunk, Error>> + use<> {
    let words: Vec<String> = said.split_inclusive(' ').map(str::to_owned).collect();
    let spoken = (0..times).flat_map(move |_| words.clone()).map(Delta::text);
    let end = Chunk::delta(Delta::finish(FinishReason::Stop)).into_last();
    stream::iter(spoken)
        .then(move |word| async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            Ok(Chunk::delta(word))
        })
        .chain(stream::iter([Ok(end)]))
}

#[cfg(test)]
mod tests {
    use synapse_core::testkit;

    use super::*;

    #[tokio::test]
    async fn shout_is_a_module_as_modules_should_be() {
        testkit::conformance(Shout::new()).await.assert();
    }

    #[tokio::test]
    async fn it_is_one_too_when_it_takes_its_time() {
        let slow = Shout::new().slowly(3, Duration::from_millis(1));
        testkit::conformance(slow).await.assert();
    }
}
