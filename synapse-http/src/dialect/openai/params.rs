//! Sampling, limits and streaming, with OpenAI's types and ranges.

use synapse_core::{Error, Params};

use super::{Shape, level};
use crate::dialect::body::{Field, conflict};

/// How many alternatives a token may come with.
const MAX_TOP: i64 = 20;
const MAX_INTEGER: i64 = u32::MAX as i64;

pub(super) fn read(shape: Shape, fields: &[Field<'_>]) -> Result<Params, Error> {
    let mut params = Params::default();
    if shape == Shape::Embeddings {
        return Ok(params);
    }
    let mut capped: Option<(&Field<'_>, u32)> = None;
    let mut stream_options = None;
    for field in fields.iter().filter(|field| !field.is_null()) {
        match field.name {
            "max_tokens" | "max_completion_tokens" => {
                let tokens = field.integer_as(1..=MAX_INTEGER)?;
                if let Some((other, cap)) = capped
                    && cap != tokens
                {
                    return Err(conflict(
                        field,
                        format!("{} is {tokens} and {} is {cap}", field.name, other.name),
                        "send one of the two",
                    ));
                }
                capped = Some((field, tokens));
            }
            "temperature" => params.temperature = Some(field.number(0.0..=2.0)?),
            "top_p" => match field.number(0.0..=1.0)? {
                0.0 => return Err(field.out_of_range("a number above 0, up to 1")),
                share => params.top_p = Some(share),
            },
            "top_k" => params.top_k = Some(field.integer_as(0..=MAX_INTEGER)?),
            "min_p" => params.min_p = Some(field.number(0.0..=1.0)?),
            "presence_penalty" => params.presence_penalty = Some(field.number(-2.0..=2.0)?),
            "frequency_penalty" => params.frequency_penalty = Some(field.number(-2.0..=2.0)?),
            "seed" => params.seed = Some(field.integer(i64::MIN..=i64::MAX)?),
            "stop" => params.stop = field.stops()?,
            "n" => params.n = field.integer_as(1..=128)?,
            "logprobs" if shape == Shape::Chat => params.logprobs = field.boolean()?,
            "logprobs" => {
                params.logprobs = true;
                params.top_logprobs = Some(field.integer_as(0..=MAX_TOP)?);
            }
            "top_logprobs" => params.top_logprobs = Some(field.integer_as(0..=MAX_TOP)?),
            "stream" => params.stream = field.boolean()?,
            "stream_options" => stream_options = Some(field),
            _ => {}
        }
    }
    params.max_tokens = capped.map(|(_, tokens)| tokens);
    if params.top_logprobs.is_some() && !params.logprobs {
        let field = fields.iter().find(|field| field.name == "top_logprobs");
        return Err(conflict(
            field.expect("it was just read"),
            "top_logprobs is given without logprobs".to_owned(),
            "send logprobs: true with it",
        ));
    }
    if let Some(field) = stream_options {
        params.include_usage = include_usage(field)?;
        if !params.stream {
            return Err(conflict(
                field,
                "stream_options is given without stream".to_owned(),
                "send stream: true with it",
            ));
        }
    }
    Ok(params)
}

/// Whether [`Params`] hold the field `name` of a body, apart from `stream_options`.
pub(super) fn hold(shape: Shape, name: &str) -> bool {
    match name {
        "top_logprobs" => shape == Shape::Chat,
        "max_tokens"
        | "max_completion_tokens"
        | "temperature"
        | "top_p"
        | "top_k"
        | "min_p"
        | "presence_penalty"
        | "frequency_penalty"
        | "seed"
        | "stop"
        | "n"
        | "logprobs"
        | "stream" => shape != Shape::Embeddings,
        _ => false,
    }
}

fn include_usage(options: &Field<'_>) -> Result<bool, Error> {
    if !options.raw.starts_with('{') {
        return Err(options.wrong_type("an object"));
    }
    let mut fields = Vec::new();
    level::stream_options().read(options.raw, &mut fields)?;
    fields
        .iter()
        .find(|field| field.name == "include_usage" && !field.is_null())
        .map_or(Ok(false), Field::boolean)
}
