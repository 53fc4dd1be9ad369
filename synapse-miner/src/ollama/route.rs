//! In which format a request goes to Ollama.

use synapse_core::{Error, ErrorKind, Input, Task, Wire};
use synapse_http::{Ollama, OpenAi};

use super::{builder::Settings, catalog::Served, native};
use crate::inference::screen;

/// How many tokens an image may take: more than the bytes of a small one.
const IMAGE: usize = 4096;

/// In which format a request goes to Ollama.
#[derive(Debug)]
pub(super) enum Route {
    /// As it is, in OpenAI's format.
    OpenAi,
    /// In Ollama's, in which it came.
    Native(Wire),
    /// In Ollama's, into which it was translated.
    Translated(Wire),
}

/// The route of `input`, which asks `model`.
///
/// # Errors
/// Where it is malformed; where neither format can say it.
pub(super) fn of(input: &Input, model: &Served, settings: &Settings) -> Result<Route, Error> {
    let context = model.context;
    if input
        .wire()
        .is_some_and(|wire| wire.dialect().name() == Ollama::DIALECT.name())
    {
        let wire = input.wire_for(Ollama::DIALECT)?;
        let body = native::prepare(wire.body(), context, settings)?;
        return Ok(Route::Native(wire.with_body(body)));
    }
    // Whatever an Ollama of its release does with addresses; what OpenAI's format cannot say has none.
    if let Ok(wire) = input.wire_for(OpenAi::DIALECT) {
        screen::check(&wire, &[])?;
    }
    if settings.context_length.is_none() && settings.keep_alive.is_none() && is_said_by_openai(input, model)?
    {
        return Ok(Route::OpenAi);
    }
    let wire = Ollama::DIALECT.render(input.task(), &*input.request()?)?;
    let body = native::as_on_v1(wire.body())?;
    let body = native::prepare(body.as_bytes(), context, settings)?;
    Ok(Route::Translated(wire.with_body(body)))
}

/// Whether Ollama hears all of it on its OpenAI-compatible routes, and cannot cut its prompt there.
fn is_said_by_openai(input: &Input, model: &Served) -> Result<bool, Error> {
    let Some(context) = model.context.and_then(|tokens| usize::try_from(tokens).ok()) else {
        return Ok(false);
    };
    let wire = match input.wire_for(OpenAi::DIALECT) {
        // What a program asked in Ollama's own words.
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
        wire => wire?,
    };
    // A token has at least one byte, and JSON at least as many as the text in it; but Ollama's templates write these
    // characters of a tool as six.
    let escaped = wire.body().iter().filter(|byte| b"<>&".contains(byte)).count();
    if wire.body().len() + 5 * escaped + model.overhead() >= context {
        return Ok(false);
    }
    if *input.task() == Task::EMBEDDINGS {
        return Ok(true);
    }
    let params = input.params()?;
    // What Ollama's structs for these routes have no field for.
    let field = |name| {
        let place = input.view().ok()??.field(name)?;
        input.wire()?.body().get(place)
    };
    let unheard = params.top_k.is_some()
        || params.min_p.is_some()
        || params.n > 1
        || field("max_completion_tokens").is_some()
        || field("tool_choice") == Some(b"\"none\"");
    let images = wire
        .body()
        .windows(11)
        .filter(|bytes| bytes == b"\"image_url\"")
        .count();
    Ok(!unheard && images * IMAGE < context - wire.body().len())
}
