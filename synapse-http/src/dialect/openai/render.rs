//! A request written from scratch.

use serde::Serialize;
use serde_json::{Map, Value, json};
use synapse_core::{Content, Error, Message, Params, Part, Prompt, Request};

use super::{Shape, params};
use crate::dialect::ollama;

/// Fields that only text generation has. `max_tokens` rather than `max_completion_tokens`: every engine knows it.
#[derive(Default, Serialize)]
struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Map<String, Value>>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    #[serde(flatten)]
    prompt: Asked<'a>,
    #[serde(flatten)]
    generation: Generation<'a>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Asked<'a> {
    Messages(Vec<Spoken<'a>>),
    Prompt(Texts<'a>),
    Input(Texts<'a>),
}

#[derive(Serialize)]
struct Spoken<'a> {
    role: &'a str,
    content: Value,
    #[serde(flatten)]
    other: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Texts<'a> {
    One(&'a str),
    Many(&'a [String]),
    Tokens(&'a [Vec<u32>]),
}

pub(super) fn render(shape: Shape, request: &Request) -> Result<Vec<u8>, Error> {
    let mut other = request.other.clone();
    let options = match (shape, other.remove("stream_options")) {
        (Shape::Embeddings, options) => {
            other.extend(options.map(|options| ("stream_options".to_owned(), options)));
            None
        }
        (_, Some(Value::Object(options))) => Some(options),
        _ => None,
    };
    if let Some(apart) = other.remove(ollama::APART) {
        let field = apart.as_object().and_then(|fields| fields.keys().next());
        let path = field.map_or_else(|| ollama::APART.to_owned(), |field| ollama::path(field, &apart));
        return Err(Error::unsupported(
            "field_unsupported",
            format!("{path} cannot be said in OpenAI's format"),
        )
        .with_param(path)
        .with_hint("leave it out, or ask a model whose engine speaks Ollama's format"));
    }
    let owned = other
        .keys()
        .find(|name| *name == "model" || *name == shape.prompt() || params::hold(shape, name));
    if let Some(name) = owned {
        return Err(Error::invalid(
            "duplicate_field",
            format!("{name} is a parameter of its own and is among the other fields too"),
        )
        .with_param(name.clone()));
    }
    let body = Body {
        model: &request.model,
        prompt: asked(shape, &request.prompt)?,
        generation: match shape {
            Shape::Embeddings => Generation::default(),
            _ => generation(shape, &request.params, options),
        },
        other,
    };
    serde_json::to_vec(&body).map_err(|error| {
        Error::internal("render_failed", "a request could not be written").with_source(error)
    })
}

fn asked(shape: Shape, prompt: &Prompt) -> Result<Asked<'_>, Error> {
    let texts = match (shape, prompt) {
        (Shape::Chat, Prompt::Messages(messages)) => {
            return Ok(Asked::Messages(messages.iter().map(spoken).collect()));
        }
        (Shape::Completion | Shape::Embeddings, Prompt::Texts(texts)) => match texts.as_slice() {
            [text] => Texts::One(text),
            texts => Texts::Many(texts),
        },
        (Shape::Completion | Shape::Embeddings, Prompt::Tokens(tokens)) => Texts::Tokens(tokens),
        _ => {
            return Err(Error::unsupported(
                "prompt_unsupported",
                format!("{} takes no prompt of this kind", shape.path()),
            )
            .with_hint("messages are for chat, texts and tokens for completions and embeddings"));
        }
    };
    Ok(match shape {
        Shape::Embeddings => Asked::Input(texts),
        _ => Asked::Prompt(texts),
    })
}

fn spoken(message: &Message) -> Spoken<'_> {
    let content = match &message.content {
        Content::Text(text) => Value::from(text.as_str()),
        Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Other(part) => part.clone(),
                _ => Value::Null,
            })
            .collect(),
        _ => Value::Null,
    };
    Spoken {
        role: &message.role,
        content,
        other: &message.other,
    }
}

fn generation<'a>(shape: Shape, params: &'a Params, options: Option<Map<String, Value>>) -> Generation<'a> {
    let mut options = options.unwrap_or_default();
    if params.include_usage {
        options.insert("include_usage".to_owned(), true.into());
    }
    let chat = shape == Shape::Chat;
    Generation {
        max_tokens: params.max_tokens,
        temperature: params.temperature,
        top_p: params.top_p,
        top_k: params.top_k,
        min_p: params.min_p,
        presence_penalty: params.presence_penalty,
        frequency_penalty: params.frequency_penalty,
        seed: params.seed,
        stop: &params.stop,
        n: (params.n != 1).then_some(params.n),
        logprobs: params.logprobs.then(|| match chat {
            true => true.into(),
            false => params.top_logprobs.unwrap_or(0).into(),
        }),
        top_logprobs: params.top_logprobs.filter(|_| chat && params.logprobs),
        stream: params.stream.then_some(true),
        stream_options: (params.stream && !options.is_empty()).then_some(options),
    }
}
