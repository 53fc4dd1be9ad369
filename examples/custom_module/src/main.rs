//! A module of one's own, served over the OpenAI API.
//!
//! ```text
//! cargo run -p custom_module
//! curl http://127.0.0.1:9000/v1/chat/completions -H 'content-type: application/json' \
//!      -d '{"model":"shout","messages":[{"role":"user","content":"hello"}]}'
//! ```

use std::process::ExitCode;

use clap::Parser;
use synapse_core::{
    Body, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task, async_trait,
};
use synapse_http::{Server, router};

/// Serve a module that answers with the last message, louder.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: String,
}

/// Answers with the last message, louder.
#[derive(Debug)]
struct Shout;

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
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        let request = input.request()?;
        let said = request
            .messages()
            .last()
            .and_then(|message| message.content.text());
        let loud = said.unwrap_or_default().to_uppercase();
        Ok(Output::new(Body::from_deltas([
            Delta::text(loud),
            Delta::finish(FinishReason::Stop),
        ])))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let server = Server::bind(&options.listen).await?;
    server
        .on_ready(|address| println!("ready http://{address}"))
        .serve(router(Shout))
        .await
}

#[cfg(test)]
mod tests {
    use synapse_core::testkit;

    use super::Shout;

    #[tokio::test]
    async fn shout_is_a_module_as_modules_should_be() {
        testkit::conformance(Shout).await.assert();
    }
}
