//! A request written from scratch, out of what OpenAI's words say.

use serde::Serialize;
use serde_json::{Map, Value};
use synapse_core::{Error, Params, Prompt, Request, Task};

use super::{Shape, messages, prompt, request::APART, unsaid};

/// Fields that say nothing about the reply, or nothing that Ollama would do otherwise.
const NEUTRAL: [&str; 10] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "stream_options",
    "encoding_format",
];

#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<messages::Said<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Default, Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Options<'_> {
    fn is_empty(&self) -> bool {
        let numbers = [
            self.temperature,
            self.top_p,
            self.min_p,
            self.presence_penalty,
            self.frequency_penalty,
        ];
        self.num_predict.or(self.top_k).is_none()
            && self.seed.is_none()
            && numbers.iter().all(Option::is_none)
            && self.stop.is_empty()
            && self.other.is_empty()
    }
}

pub(super) fn render(task: &Task, request: &Request) -> Result<(Shape, Vec<u8>), Error> {
    let shape = Shape::for_task(task)?;
    let mut body = Body {
        model: &request.model,
        ..Body::default()
    };
    let mut options = Map::new();
    for (name, value) in &request.other {
        field(shape, name, value, &mut body.other, &mut options)?;
    }
    // Tools that must not be called need not be named.
    if request
        .other
        .get("tool_choice")
        .is_some_and(|choice| choice == "none")
    {
        body.other.remove("tools");
    }
    let generates = !shape.is_vectors();
    match (shape, &request.prompt) {
        (Shape::Chat, Prompt::Messages(messages)) if messages.is_empty() => {
            return Err(prompt::empty("empty_messages", "messages"));
        }
        (Shape::Chat, Prompt::Messages(messages)) => body.messages = Some(messages::write(messages)?),
        (Shape::Generate, Prompt::Texts(texts)) => match texts.as_slice() {
            [text] if text.is_empty() => return Err(prompt::empty("empty_prompt", "prompt")),
            [text] => body.prompt = Some(text),
            _ => return Err(unsaid("prompt").with_hint("send one prompt a request")),
        },
        (Shape::Embed, Prompt::Texts(texts)) => body.input = Some(texts),
        _ => {
            return Err(Error::unsupported(
                "prompt_unsupported",
                format!("{} takes no prompt of this kind", shape.path()),
            )
            .with_hint(
                "messages are for chat, texts for completions and embeddings; token ids cannot be sent",
            ));
        }
    }
    if generates {
        let params = &request.params;
        if params.n != 1 {
            return Err(unsaid("n").with_hint("send the request once for each reply"));
        }
        body.stream = Some(params.stream);
        body.logprobs = params.logprobs.then_some(true);
        body.top_logprobs = params.top_logprobs.filter(|_| params.logprobs);
        // A gap before a suffix is filled by the model's template, which raw leaves out.
        body.raw = (shape == Shape::Generate && !body.other.contains_key("suffix")).then_some(true);
        body.options = sampling(params);
    }
    body.options.other = options;
    let json = serde_json::to_vec(&body).map_err(|error| {
        Error::internal("render_failed", "a request could not be written").with_source(error)
    })?;
    Ok((shape, json))
}

fn sampling(params: &Params) -> Options<'_> {
    Options {
        num_predict: params.max_tokens,
        temperature: params.temperature,
        top_p: params.top_p,
        top_k: params.top_k,
        min_p: params.min_p,
        presence_penalty: params.presence_penalty,
        frequency_penalty: params.frequency_penalty,
        seed: params.seed,
        stop: &params.stop,
        other: Map::new(),
    }
}

/// Puts one field that OpenAI's format has, or another engine's, into Ollama's words.
fn field(
    shape: Shape,
    name: &str,
    value: &Value,
    body: &mut Map<String, Value>,
    options: &mut Map<String, Value>,
) -> Result<(), Error> {
    let chat = shape == Shape::Chat;
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    match (name, value) {
        (_, Value::Null) => {}
        (APART, Value::Object(apart)) => {
            for (name, value) in apart {
                match (name.as_str(), value) {
                    ("options", Value::Object(own)) => options.extend(own.clone()),
                    _ => put(name, value.clone()),
                }
            }
        }
        ("tools", tools) if chat => put("tools", tools.clone()),
        ("tool_choice", Value::String(choice)) if choice == "auto" || choice == "none" => {}
        ("tool_choice", _) => {
            return Err(unsaid(name).with_hint("send auto or none: Ollama leaves it to the model"));
        }
        ("parallel_tool_calls", Value::Bool(true)) => {}
        ("response_format", format) if chat => {
            if let Some(format) = format_of(format)? {
                put("format", format);
            }
        }
        ("reasoning_effort", effort) if chat => put("think", think(effort)?),
        ("repetition_penalty" | "repeat_penalty", penalty) => {
            options.insert("repeat_penalty".to_owned(), penalty.clone());
        }
        ("suffix", suffix) if shape == Shape::Generate => put("suffix", suffix.clone()),
        ("dimensions", dimensions) if shape == Shape::Embed => put("dimensions", dimensions.clone()),
        ("echo", Value::Bool(false)) => {}
        ("best_of", best) if *best == 1 => {}
        ("modalities", Value::Array(kinds)) if kinds.iter().all(|kind| kind == "text") => {}
        ("logit_bias", Value::Object(bias)) if bias.is_empty() => {}
        ("tools" | "functions", Value::Array(none)) if none.is_empty() => {}
        _ if NEUTRAL.contains(&name) => {}
        _ => return Err(unsaid(name.to_owned())),
    }
    Ok(())
}

fn format_of(format: &Value) -> Result<Option<Value>, Error> {
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some("json".into())),
        Some("json_schema") => match &format["json_schema"]["schema"] {
            schema @ Value::Object(_) => Ok(Some(schema.clone())),
            _ => Err(
                Error::invalid("missing_field", "response_format.json_schema.schema is missing")
                    .with_param("response_format.json_schema.schema"),
            ),
        },
        _ => Err(unsaid("response_format").with_hint("send text, json_object or json_schema")),
    }
}

fn think(effort: &Value) -> Result<Value, Error> {
    match effort.as_str() {
        Some("none") => Ok(false.into()),
        Some(level @ ("low" | "medium" | "high" | "max")) => Ok(level.into()),
        _ => Err(unsaid("reasoning_effort").with_hint("send none, low, medium or high")),
    }
}
