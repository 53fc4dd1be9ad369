//! What layers ask of a request, found without copying it.

use synapse_core::{Error, Params, Task, View};

use super::{Shape, level, prompt};
use crate::dialect::body::{Field, conflict, json};

const MAX_INTEGER: i64 = u32::MAX as i64;
/// How many alternatives a token may come with.
const MAX_TOP: i64 = 20;

pub(super) fn view(shape: Shape, task: &Task, body: &[u8]) -> Result<View, Error> {
    let text = json::object(body)?;
    let mut fields = Vec::with_capacity(16);
    level::body(shape).read(text, &mut fields)?;
    if *task != task_of(shape, &fields)? {
        return Err(Error::internal(
            "task_mismatch",
            format!("a request to {} was taken for the task {task}", shape.path()),
        ));
    }
    let given = |name: &str| fields.iter().find(|field| field.name == name && !field.is_null());

    let model = given("model").map(Field::string).transpose()?;
    let mut options = Vec::new();
    if let Some(field) = given("options") {
        if !field.raw.starts_with('{') {
            return Err(field.wrong_type("an object"));
        }
        level::options().read(field.raw, &mut options)?;
    }
    let mut params = sampling(&options)?;
    if shape.is_vectors() {
        params = Params::default();
        if let Some(dimensions) = given("dimensions") {
            dimensions.integer(0..=MAX_INTEGER)?;
        }
    } else {
        generation(&fields, &mut params)?;
    }
    if let Some(field) = given("keep_alive")
        && !field.raw.starts_with('"')
        && !field.is_number()
    {
        return Err(field.wrong_type("a duration such as \"5m\", or a number of seconds"));
    }
    let Some(asked) = given(shape.prompt()) else {
        let name = shape.prompt();
        return Err(Error::invalid("missing_field", format!("the request has no {name}")).with_param(name));
    };
    prompt::check(shape, asked)?;

    let range = |field: &Field<'_>| {
        let start = field.raw.as_ptr().addr() - text.as_ptr().addr();
        start..start + field.raw.len()
    };
    let cap = options.iter().find(|field| field.name == "num_predict");
    Ok(View::new(model.as_deref(), params).with_fields(
        fields
            .iter()
            .map(|field| (field.name, range(field)))
            .chain(cap.map(|field| ("options.num_predict", range(field))))
            .collect(),
    ))
}

/// What a body asks for. `/api/generate` is a conversation of one message, but where the prompt is `raw`, or a gap is to
/// be filled before a `suffix`.
pub(super) fn task(shape: Shape, body: &[u8]) -> Result<Task, Error> {
    if shape != Shape::Generate {
        return task_of(shape, &[]);
    }
    let text = json::object(body)?;
    let mut fields = Vec::with_capacity(16);
    level::body(shape).read(text, &mut fields)?;
    task_of(shape, &fields)
}

fn task_of(shape: Shape, fields: &[Field<'_>]) -> Result<Task, Error> {
    if shape.is_vectors() {
        return Ok(Task::EMBEDDINGS);
    }
    let mut continues = false;
    for field in fields.iter().filter(|field| !field.is_null()) {
        match field.name {
            "raw" => continues |= field.boolean()?,
            "suffix" => continues |= !field.string()?.is_empty(),
            _ => {}
        }
    }
    Ok(if continues {
        Task::TEXT_COMPLETION
    } else {
        Task::CHAT
    })
}

fn sampling(options: &[Field<'_>]) -> Result<Params, Error> {
    let mut params = Params::default();
    for field in options.iter().filter(|field| !field.is_null()) {
        match field.name {
            // 0 and less is 'no cap', in several ways.
            "num_predict" => {
                let tokens: i64 = field.integer(i64::from(i32::MIN)..=MAX_INTEGER)?;
                params.max_tokens = u32::try_from(tokens).ok().filter(|tokens| *tokens > 0);
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
            "repeat_penalty" => drop(field.number(0.0..=f32::MAX)?),
            "seed" => params.seed = Some(field.integer(i64::MIN..=i64::MAX)?),
            "stop" => params.stop = field.stops()?,
            _ => {}
        }
    }
    Ok(params)
}

/// What only text generation has, and what nobody may ask from outside.
fn generation(fields: &[Field<'_>], params: &mut Params) -> Result<(), Error> {
    params.stream = true;
    let (mut raw, mut system) = (false, None);
    for field in fields.iter().filter(|field| !field.is_null()) {
        match field.name {
            "stream" => params.stream = field.boolean()?,
            "raw" => raw = field.boolean()?,
            "system" if !field.string()?.is_empty() => system = Some(field),
            "logprobs" => params.logprobs = field.boolean()?,
            "top_logprobs" => params.top_logprobs = Some(field.integer_as(0..=MAX_TOP)?),
            "format" if !matches!(field.raw.as_bytes().first(), Some(b'{')) => match &*field.string()? {
                "" | "json" => {}
                _ => return Err(field.out_of_range("json or a JSON schema")),
            },
            "images" => prompt::strings(field)?,
            "tools" if !field.raw.starts_with('[') => return Err(field.wrong_type("an array of tools")),
            "think" if field.raw.starts_with('"') => match &*field.string()? {
                "low" | "medium" | "high" | "max" => {}
                _ => return Err(field.out_of_range("a boolean, low, medium, high or max")),
            },
            "think" | "truncate" | "shift" => drop(field.boolean()?),
            "template" if !field.string()?.is_empty() => {
                return Err(closed(field, "send messages, or the whole prompt with raw: true"));
            }
            "context" if field.raw != "[]" => {
                return Err(closed(
                    field,
                    "send what was said before as messages to /api/chat",
                ));
            }
            "_debug_render_only" if field.boolean()? => return Err(closed(field, "leave it out")),
            _ => {}
        }
    }
    // Without logprobs Ollama pays it no attention.
    params.top_logprobs = params.top_logprobs.filter(|_| params.logprobs);
    params.include_usage = params.stream;
    match system {
        Some(field) if raw => Err(conflict(
            field,
            "system is given with raw: true".to_owned(),
            "write it into the prompt",
        )),
        _ => Ok(()),
    }
}

/// Of a field that makes a prompt which nobody on the way can count or check.
fn closed(field: &Field<'_>, hint: &'static str) -> Error {
    let path = field.path();
    Error::unsupported("field_unsupported", format!("{path} is not taken here"))
        .with_param(path)
        .with_hint(hint)
}
