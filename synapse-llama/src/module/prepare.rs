//! From a request in no dialect to what the engine takes.

use serde_json::Value as Json;
use synapse_core::{Message, Params, Prompt, Request, Task};

use super::loaded::Loaded;
use super::refusals;
use crate::engine::{GenerateRequest, Sampling};
use crate::error::LlamaError;

/// The most texts of one request for embeddings.
const MAX_TEXTS: usize = 2048;

/// What the engine is to do.
#[derive(Debug)]
pub(super) enum Work {
    Generate(GenerateRequest),
    Embed(Vec<Vec<u32>>),
}

/// Renders, tokenises and checks. Takes as long as the prompt is long: blocks.
pub(super) fn prepare(loaded: &Loaded, task: &Task, request: Request) -> Result<Work, LlamaError> {
    refusals::check(task, &request)?;
    match (task, &request.prompt) {
        (task, Prompt::Messages(messages)) if *task == Task::CHAT => {
            let prompt = chat(loaded, messages, tools(&request)?)?;
            generate(loaded, prompt, request).map(Work::Generate)
        }
        (task, Prompt::Texts(_) | Prompt::Tokens(_)) if *task == Task::TEXT_COMPLETION => {
            let prompt = only_prompt(documents(loaded, &request.prompt)?)?;
            generate(loaded, prompt, request).map(Work::Generate)
        }
        (task, Prompt::Texts(_) | Prompt::Tokens(_)) if *task == Task::EMBEDDINGS => {
            documents(loaded, &request.prompt).map(Work::Embed)
        }
        _ => Err(LlamaError::Unsupported(format!(
            "the task {task} can't be done with a prompt of this shape"
        ))),
    }
}

fn chat(loaded: &Loaded, messages: &[Message], tools: Option<&Json>) -> Result<Vec<u32>, LlamaError> {
    let template = loaded.template.as_ref().map_err(Clone::clone)?;
    if messages.is_empty() {
        return Err(LlamaError::invalid(
            "messages",
            "is empty; send at least one message",
        ));
    }
    if tools.is_some() && !template.knows_tools() {
        let reason = "this model's chat template has no place for tools; leave them out";
        return Err(LlamaError::UnsupportedParameter {
            name: "tools".to_owned(),
            reason,
        });
    }
    let said = messages.iter().filter_map(|message| message.content.text());
    check_length(loaded, said.map(|text| text.len()).sum())?;
    let pieces = template.render_pieces(messages, tools)?;
    check_length(loaded, pieces.iter().map(|piece| piece.text().len()).sum())?;
    loaded.tokenizer.encode_pieces(&pieces)
}

/// The tools, unless the client sent them and forbade their use.
fn tools(request: &Request) -> Result<Option<&Json>, LlamaError> {
    let forbidden = request.other.get("tool_choice").and_then(Json::as_str) == Some("none");
    match request.other.get("tools") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Array(tools)) if forbidden || tools.is_empty() => Ok(None),
        Some(tools @ Json::Array(_)) => Ok(Some(tools)),
        Some(_) => Err(LlamaError::invalid("tools", "is no array; send a list of tools")),
    }
}

fn documents(loaded: &Loaded, prompt: &Prompt) -> Result<Vec<Vec<u32>>, LlamaError> {
    let documents = match prompt {
        Prompt::Tokens(documents) => documents.clone(),
        Prompt::Texts(texts) if texts.len() <= MAX_TEXTS => texts
            .iter()
            .map(|text| {
                check_length(loaded, text.len())?;
                loaded.tokenizer.encode_document(text)
            })
            .collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    if documents.is_empty() || documents.len() > MAX_TEXTS {
        return Err(LlamaError::invalid(
            "input",
            format!("must hold 1 to {MAX_TEXTS} texts"),
        ));
    }
    Ok(documents)
}

fn only_prompt(mut prompts: Vec<Vec<u32>>) -> Result<Vec<u32>, LlamaError> {
    let reason = "one prompt a request; send the others on their own";
    match (prompts.pop(), prompts.is_empty()) {
        (Some(prompt), true) => Ok(prompt),
        _ => Err(LlamaError::UnsupportedParameter {
            name: "prompt".to_owned(),
            reason,
        }),
    }
}

/// Refuses a text that can't fit before any time is spent on it.
fn check_length(loaded: &Loaded, bytes: usize) -> Result<(), LlamaError> {
    let context_length = loaded.engine.context_length();
    let prompt_tokens = loaded.tokenizer.fewest_tokens(bytes);
    if prompt_tokens >= u64::from(context_length) {
        return Err(LlamaError::PromptTooLong {
            prompt_tokens,
            context_length,
        });
    }
    Ok(())
}

fn generate(loaded: &Loaded, prompt: Vec<u32>, request: Request) -> Result<GenerateRequest, LlamaError> {
    let mut job = GenerateRequest::new(prompt);
    job.sampling = sampling(&request.params);
    job.sampling.logit_bias = logit_bias(request.other.get("logit_bias"))?;
    job.max_tokens = request.params.max_tokens;
    job.top_logprobs = request
        .params
        .logprobs
        .then(|| request.params.top_logprobs.unwrap_or(0));
    job.stop = request.params.stop;
    loaded.engine.check(&job)?;
    Ok(job)
}

fn sampling(params: &Params) -> Sampling {
    let mut sampling = Sampling::default();
    sampling.temperature = params.temperature.unwrap_or(sampling.temperature);
    sampling.top_p = params.top_p.unwrap_or(sampling.top_p);
    sampling.top_k = params.top_k.unwrap_or(sampling.top_k);
    sampling.min_p = params.min_p.unwrap_or(sampling.min_p);
    sampling.presence_penalty = params.presence_penalty.unwrap_or(sampling.presence_penalty);
    sampling.frequency_penalty = params.frequency_penalty.unwrap_or(sampling.frequency_penalty);
    sampling.seed = params.seed.map(i64::cast_unsigned);
    sampling
}

/// OpenAI's object of token ids, as text, and biases.
fn logit_bias(field: Option<&Json>) -> Result<Vec<(u32, f32)>, LlamaError> {
    let wrong = || {
        LlamaError::invalid(
            "logit_bias",
            "must be an object of token ids and numbers from -100 to 100",
        )
    };
    let fields = match field {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(fields)) => fields,
        Some(_) => return Err(wrong()),
    };
    let biases = fields
        .iter()
        .map(|(token, bias)| Some((token.parse().ok()?, narrow(bias.as_f64()?))));
    biases.collect::<Option<_>>().ok_or_else(wrong)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "biases are -100 to 100; what is out of range stays out of it"
)]
fn narrow(number: f64) -> f32 {
    number as f32
}
