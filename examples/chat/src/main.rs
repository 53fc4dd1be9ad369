//! Talks to a model in a terminal, a word at a time.
//!
//! ```text
//! cargo run -p chat -- --url http://127.0.0.1:8080
//! ```

use std::io::{IsTerminal, Write};

use clap::Parser;
use futures_util::StreamExt;
use synapse_core::{Error, InferenceModule, Input, Message, Prompt, Request, Task, Usage};
use synapse_http::OpenAiModule;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Talk to a model behind any OpenAI-compatible endpoint.
///
/// Type a line and press return; an empty line or end of input ends the conversation. With input from a pipe every line
/// is a message. Answers go to standard output, everything else to standard error.
#[derive(Debug, Parser)]
struct Options {
    /// The endpoint.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The model; the first one that the endpoint lists where this is left out.
    #[arg(long)]
    model: Option<String>,
    /// What the model is told before the conversation.
    #[arg(long)]
    system: Option<String>,
    /// Most tokens of an answer.
    #[arg(long, default_value_t = 512)]
    max_tokens: u32,
    /// Softmax temperature; 0 takes the likeliest token.
    #[arg(long, value_parser = finite)]
    temperature: Option<f32>,
    /// The API key, where the endpoint wants one.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run(Options::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let mut builder = OpenAiModule::builder(&options.url);
    if let Some(key) = &options.api_key {
        builder = builder.api_key(key);
    }
    let endpoint = builder.build()?;
    endpoint.initialize().await?;
    let model = match options.model {
        Some(model) => model,
        None => match endpoint.get_capabilities().models.first() {
            Some(model) => model.id.clone(),
            None => {
                return Err(
                    Error::unavailable("no_model", format!("{} lists no model", options.url))
                        .with_hint("name one with --model"),
                );
            }
        },
    };
    let prompted = std::io::stdin().is_terminal();
    eprintln!("talking to {model} at {}; an empty line ends it", options.url);

    let mut messages: Vec<Message> = options.system.into_iter().map(Message::system).collect();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        if prompted {
            eprint!("> ");
        }
        let line = match lines.next_line().await {
            Ok(Some(line)) if !line.trim().is_empty() => line,
            Ok(_) => return Ok(()),
            Err(error) => {
                return Err(Error::broken("input", "standard input could not be read").with_source(error));
            }
        };
        messages.push(Message::user(line));
        let request = Request::new(&*model, Prompt::Messages(messages.clone())).with_params(|params| {
            params.max_tokens = Some(options.max_tokens);
            params.temperature = options.temperature;
            params.stream = true;
            params.include_usage = true;
        });
        let answer = say(&endpoint, request).await?;
        messages.push(Message::assistant(answer));
    }
}

/// Prints the answer as it comes, and returns it.
async fn say(endpoint: &OpenAiModule, request: Request) -> Result<String, Error> {
    let mut output = endpoint
        .run_inference(Input::from_request(Task::CHAT, request))
        .await?;
    let (mut answer, mut usage) = (String::new(), None::<Usage>);
    while let Some(chunk) = output.body.next().await {
        let chunk = chunk?;
        for delta in chunk.deltas()? {
            answer.push_str(&delta.text);
            show(&delta.text)?;
        }
        usage = chunk.usage().or(usage);
    }
    show("\n")?;
    if let (Some(usage), true) = (usage, std::io::stderr().is_terminal()) {
        let miner = output
            .head
            .served_by()
            .map(|miner| format!(" · {miner}"))
            .unwrap_or_default();
        eprintln!(
            "  {} tokens in · {} out{miner}",
            usage.input_tokens, usage.output_tokens
        );
    }
    Ok(answer)
}

/// Prints at once; whoever reads may have gone, as `head` does.
fn show(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    shown.map_err(|error| Error::broken("output", "standard output takes no more").with_source(error))
}

fn finite(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|error| format!("{error}"))?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("it must be a finite number".into())
    }
}
