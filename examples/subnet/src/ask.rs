//! One question to the gateway, over HTTP as any client would.

use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

use futures_util::StreamExt;
use serde_json::json;
use synapse_core::{Error, InferenceModule, Input, Message, Prompt, Request, Task};
use synapse_http::OpenAiModule;

use crate::Options;

/// Asks, and prints the answer as it comes, its usage and the miner that served it.
pub(crate) async fn once(url: &str, options: &Options, prompt: &str) -> Result<(), Error> {
    let request = Request::new(&*options.model_id, Prompt::Messages(vec![Message::user(prompt)]))
        .with_params(|params| {
            params.max_tokens = Some(options.max_tokens);
            params.temperature = Some(0.0);
            params.stream = true;
            params.include_usage = true;
        });
    let start = Instant::now();
    let endpoint = OpenAiModule::builder(url).build()?;
    endpoint.initialize().await?;
    let mut output = endpoint
        .run_inference(Input::from_request(Task::CHAT, request))
        .await?;
    let first = start.elapsed();

    let live = !options.json && std::io::stdout().is_terminal();
    let (mut answer, mut usage) = (String::new(), None);
    while let Some(chunk) = output.body.next().await {
        let chunk = chunk?;
        for delta in chunk.deltas()? {
            answer.push_str(&delta.text);
            if live {
                print!("{}", delta.text);
                let _ = std::io::stdout().flush();
            }
        }
        usage = chunk.usage().or(usage);
    }
    let usage = usage.ok_or_else(|| Error::broken("no_usage", "the stream ended without its usage"))?;
    let miner = output
        .head
        .served_by()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (first, total) = (first.as_millis(), start.elapsed().as_millis());
    if options.json {
        let document = json!({
            "answer": answer, "miner": miner, "first_content_ms": first, "total_ms": total,
            "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        });
        println!("{document}");
    } else {
        println!("{}\n", if live { "" } else { &answer });
        println!("miner: {miner}");
        println!(
            "usage: {} in, {} out ({first} ms to the first content, {total} ms in all)",
            usage.input_tokens, usage.output_tokens
        );
    }
    endpoint.shutdown().await
}
