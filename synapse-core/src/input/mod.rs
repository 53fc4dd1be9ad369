//! What a module is asked.

mod account;
mod edits;
mod extensions;
mod message;
mod params;
mod request;
mod view;
mod wire;

use std::{borrow::Cow, sync::Arc};

use http::Extensions;

pub use self::{
    account::{Allowance, ApiKey, ClientIp},
    edits::Edits,
    extensions::{Caller, Deadline},
    message::{Content, Message, Part},
    params::Params,
    request::{Prompt, Request},
    view::View,
    wire::Wire,
};
use crate::{Dialect, Error, Task, input::wire::Received};

/// One request, on its way from the gateway's door to an engine.
///
/// An input that came over the wire keeps its bytes, and is parsed only when somebody asks
/// ([`view`](Input::view), [`model`](Input::model), [`max_tokens`](Input::max_tokens)); one made in Rust
/// ([`Input::chat`]) has no bytes until it must travel. A layer that must change something records an *edit*;
/// [`wire_for`](Input::wire_for) hands out the very bytes that came in when nothing was edited.
///
/// A clone shares bytes, view and extensions, so a retry may clone freely.
///
/// ```
/// use synapse_core::{Input, Message};
///
/// let mut input = Input::chat("smollm2", [Message::user("Name three primary colours.")]);
/// input.set_max_tokens(32)?;
/// assert_eq!(input.model()?, "smollm2");
/// assert_eq!(input.max_tokens()?, Some(32));
/// # Ok::<(), synapse_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Input {
    task: Task,
    source: Source,
    edits: Edits,
    extensions: Arc<Extensions>,
}

#[derive(Debug, Clone)]
enum Source {
    Wire(Arc<Received>),
    Native(Arc<Request>),
}

impl Input {
    /// An input that came over the wire.
    #[must_use]
    pub fn from_wire(task: Task, wire: Wire) -> Self {
        Self::new(task, Source::Wire(Arc::new(Received::new(wire))))
    }

    /// An input made in Rust.
    #[must_use]
    pub fn from_request(task: Task, request: Request) -> Self {
        Self::new(task, Source::Native(Arc::new(request)))
    }

    /// A conversation whose next message `model` is to write; not streamed, with the model's own defaults.
    pub fn chat(model: impl Into<String>, messages: impl IntoIterator<Item = Message>) -> Self {
        Self::from_request(
            Task::CHAT,
            Request::new(model, Prompt::Messages(messages.into_iter().collect())),
        )
    }

    fn new(task: Task, source: Source) -> Self {
        Self {
            task,
            source,
            edits: Edits::default(),
            extensions: Arc::default(),
        }
    }

    /// What is asked for.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The bytes as they came, before any edit; `None` for an input made in Rust.
    #[must_use]
    pub fn wire(&self) -> Option<&Wire> {
        match &self.source {
            Source::Wire(received) => Some(received.wire()),
            Source::Native(_) => None,
        }
    }

    /// What the dialect defines of the body, found on first use; `None` for an input made in Rust. Edits do not show here.
    ///
    /// # Errors
    /// Where the body is not what its dialect allows; the same error each time.
    pub fn view(&self) -> Result<Option<&View>, Error> {
        match &self.source {
            Source::Wire(received) => received.view(&self.task).map(Some),
            Source::Native(_) => Ok(None),
        }
    }

    /// The request as a value of its own, with edits applied: what an engine reads.
    ///
    /// # Errors
    /// Where the body is not what its dialect allows.
    pub fn request(&self) -> Result<Cow<'_, Request>, Error> {
        let mut request = match &self.source {
            Source::Wire(received) => {
                let view = received.view(&self.task)?;
                Cow::Owned(
                    received
                        .wire()
                        .dialect()
                        .request(&self.task, received.wire(), view)?,
                )
            }
            Source::Native(request) => Cow::Borrowed(&**request),
        };
        if !self.edits.is_empty() {
            self.edits.apply(request.to_mut());
        }
        Ok(request)
    }

    /// The model that is asked.
    ///
    /// # Errors
    /// Where the body is malformed, or names none.
    pub fn model(&self) -> Result<&str, Error> {
        let named = match (&self.edits.model, &self.source) {
            (Some(model), _) => Some(model.as_str()),
            (None, Source::Wire(_)) => self.view()?.and_then(View::model),
            (None, Source::Native(request)) => Some(request.model.as_str()),
        };
        named.filter(|model| !model.is_empty()).ok_or_else(|| {
            Error::invalid("model_missing", "the request names no model")
                .with_param("model")
                .with_hint("send the field model; GET /v1/models lists what is served")
        })
    }

    /// Sampling, limits and streaming, without edits; see [`max_tokens`](Input::max_tokens) and
    /// [`wants_logprobs`](Input::wants_logprobs) for those with.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub fn params(&self) -> Result<&Params, Error> {
        match &self.source {
            Source::Wire(received) => Ok(received.view(&self.task)?.params()),
            Source::Native(request) => Ok(&request.params),
        }
    }

    /// How many tokens the reply may have at most, if anybody said.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub fn max_tokens(&self) -> Result<Option<u32>, Error> {
        Ok(match self.edits.max_tokens {
            Some(tokens) => Some(tokens),
            None => self.params()?.max_tokens,
        })
    }

    /// Whether the reply is to come as a stream of events.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub fn wants_stream(&self) -> Result<bool, Error> {
        Ok(self.params()?.stream)
    }

    /// Whether log-probabilities are to come with the reply.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub fn wants_logprobs(&self) -> Result<bool, Error> {
        Ok(self.edits.top_logprobs.is_some() || self.params()?.logprobs)
    }

    /// What layers changed so far.
    #[must_use]
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// Caps the reply at `tokens` tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the body is not JSON.
    pub fn set_max_tokens(&mut self, tokens: u32) -> Result<(), Error> {
        self.editable("max_tokens")?;
        self.edits.max_tokens = Some(tokens);
        Ok(())
    }

    /// Asks another model than the body names.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the body is not JSON.
    pub fn set_model(&mut self, model: impl Into<String>) -> Result<(), Error> {
        self.editable("model")?;
        self.edits.model = Some(model.into());
        Ok(())
    }

    /// Asks for log-probabilities with `top` alternatives a token, at least as many as the client asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a task without tokens, or where the body is not JSON.
    pub fn request_logprobs(&mut self, top: u8) -> Result<(), Error> {
        if self.task != Task::CHAT && self.task != Task::TEXT_COMPLETION {
            return Err(Error::unsupported(
                "no_logprobs",
                format!("the task {} has no log-probabilities to ask for", self.task),
            ));
        }
        self.editable("logprobs")?;
        let asked = self.params()?.top_logprobs.unwrap_or(0);
        self.edits.top_logprobs = Some(top.max(asked).max(self.edits.top_logprobs.unwrap_or(0)));
        Ok(())
    }

    /// The request's bytes in `dialect`: the very same when nothing was edited and the dialect is the one it came in,
    /// a splice when something was edited, a rendering when the dialect differs or there were no bytes.
    ///
    /// # Errors
    /// Where the body must be read and is malformed, or `dialect` cannot express it.
    pub fn wire_for(&self, dialect: &'static dyn Dialect) -> Result<Wire, Error> {
        match &self.source {
            Source::Wire(received) if received.wire().dialect().name() == dialect.name() => {
                let wire = received.wire();
                if self.edits.is_empty() {
                    return Ok(wire.clone());
                }
                let view = received.view(&self.task)?;
                Ok(wire.with_body(dialect.splice(&self.task, wire, view, &self.edits)?))
            }
            _ => dialect.render(&self.task, &*self.request()?),
        }
    }

    /// What layers and routers say to each other about this request: caller, deadline, token counts, your own types.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// As [`extensions`](Input::extensions), to write; copied first where a clone shares them, so put no guard in here.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        Arc::make_mut(&mut self.extensions)
    }

    fn editable(&self, what: &'static str) -> Result<(), Error> {
        match self.wire() {
            Some(wire) if !wire.is_json() => Err(Error::unsupported(
                "body_not_json",
                format!(
                    "{what} cannot be set in a body of type {}",
                    wire.content_type_str()
                ),
            )),
            _ => Ok(()),
        }
    }
}
