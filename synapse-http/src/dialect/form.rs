//! The forms in which replies go out: those of the dialects that clients speak.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;
use synapse_core::{Chunk, Delta, Dialect, Error, FinishReason, Framing, Input};

use super::{Ollama, OpenAi, ollama, openai};

/// A dialect that replies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    OpenAi,
    Ollama,
}

impl Form {
    /// The form of the dialect of this name.
    pub(crate) fn of(dialect: &dyn Dialect) -> Option<Self> {
        [Self::OpenAi, Self::Ollama]
            .into_iter()
            .find(|form| form.dialect().name() == dialect.name())
    }

    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::OpenAi => OpenAi::DIALECT,
            Self::Ollama => Ollama::DIALECT,
        }
    }

    /// How a stream in this form is framed.
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::OpenAi => Framing::Sse,
            Self::Ollama => Framing::Lines,
        }
    }

    /// The content type of a stream in this form.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::OpenAi => "text/event-stream",
            Self::Ollama => "application/x-ndjson",
        })
    }

    /// What breaks a stream's silence without saying anything.
    pub(crate) fn keep_alive(self) -> Bytes {
        Bytes::from_static(match self {
            Self::OpenAi => b": keep-alive\n\n",
            Self::Ollama => b" ",
        })
    }

    /// The error of a stream that already began.
    pub(crate) fn error_event(self, error: &Error) -> Bytes {
        match self {
            Self::OpenAi => openai::error_event(error),
            Self::Ollama => ollama::error_line(error),
        }
    }

    /// What is not for the client.
    pub(crate) fn control_event(self, name: &str, payload: &[u8]) -> Bytes {
        match self {
            Self::OpenAi => openai::control_event(name, payload),
            Self::Ollama => ollama::control_line(name, payload),
        }
    }
}

/// How a reply to one request is to look.
#[derive(Debug, Clone)]
pub(crate) enum ReplyShape {
    OpenAi(openai::ReplyShape),
    Ollama(ollama::ReplyShape),
}

impl ReplyShape {
    /// What `input`, which came in the dialect `form`, asks for; `id` is the request's.
    pub(crate) fn of(form: Form, input: &Input, id: &str) -> Result<Self, Error> {
        Ok(match form {
            Form::OpenAi => Self::OpenAi(openai::ReplyShape::of(input, id)?),
            Form::Ollama => Self::Ollama(ollama::ReplyShape::of(input)?),
        })
    }

    pub(crate) fn form(&self) -> Form {
        match self {
            Self::OpenAi(_) => Form::OpenAi,
            Self::Ollama(_) => Form::Ollama,
        }
    }

    pub(crate) fn stream(self) -> StreamWriter {
        match self {
            Self::OpenAi(shape) => StreamWriter::OpenAi(shape.stream()),
            Self::Ollama(shape) => StreamWriter::Ollama(shape.stream()),
        }
    }

    pub(crate) fn whole(self) -> WholeWriter {
        match self {
            Self::OpenAi(shape) => WholeWriter::OpenAi(shape.whole()),
            Self::Ollama(shape) => WholeWriter::Ollama(shape.whole()),
        }
    }
}

/// What the chunks of one reply say, in `form`'s terms.
///
/// Ollama ends a reply that calls tools as any other, and may leave its calls without numbers and ids. OpenAI has a reason
/// of its own for the one, and always the other.
#[derive(Debug)]
pub(crate) struct Heard {
    form: Form,
    calls: u32,
}

impl Heard {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, calls: 0 }
    }

    pub(crate) fn deltas<'a>(&mut self, chunk: &'a Chunk) -> Result<Cow<'a, [Delta]>, Error> {
        let deltas = chunk.deltas()?;
        let spoken = chunk.dialect().and_then(Form::of);
        let stops = |delta: &Delta| delta.finish_reason == Some(FinishReason::Stop);
        let calls = deltas.iter().any(|delta| !delta.tool_calls.is_empty());
        let ends = self.calls > 0 && deltas.iter().any(stops);
        if (self.form, spoken) != (Form::OpenAi, Some(Form::Ollama)) || !(calls || ends) {
            return Ok(deltas.into());
        }
        let mut deltas = deltas.to_vec();
        for delta in &mut deltas {
            // Each of Ollama's calls is whole: the next one is another one, whatever its number.
            for call in &mut delta.tool_calls {
                call.index = self.calls;
                call.id.get_or_insert_with(|| format!("call_{}", self.calls));
                self.calls = self.calls.saturating_add(1);
            }
            if self.calls > 0 && stops(delta) {
                delta.finish_reason = Some(FinishReason::ToolCalls);
            }
        }
        Ok(deltas.into())
    }
}

/// Writes a reply as a stream.
#[derive(Debug)]
pub(crate) enum StreamWriter {
    OpenAi(openai::StreamWriter),
    Ollama(ollama::StreamWriter),
}

impl StreamWriter {
    pub(crate) fn event(&mut self, delta: &Delta) -> Bytes {
        match self {
            Self::OpenAi(writer) => writer.event(delta),
            Self::Ollama(writer) => writer.event(delta),
        }
    }

    pub(crate) fn finish(self) -> Result<Bytes, Error> {
        match self {
            Self::OpenAi(writer) => Ok(writer.finish()),
            Self::Ollama(writer) => writer.finish(),
        }
    }
}

/// Writes a reply at once.
#[derive(Debug)]
pub(crate) enum WholeWriter {
    OpenAi(openai::WholeWriter),
    Ollama(ollama::WholeWriter),
}

impl WholeWriter {
    pub(crate) fn push(&mut self, delta: &Delta) {
        match self {
            Self::OpenAi(writer) => writer.push(delta),
            Self::Ollama(writer) => writer.push(delta),
        }
    }

    pub(crate) fn finish(self) -> Result<Bytes, Error> {
        match self {
            Self::OpenAi(writer) => Ok(writer.finish()),
            Self::Ollama(writer) => writer.finish(),
        }
    }
}
