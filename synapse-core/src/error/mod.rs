//! What went wrong, whether another attempt can help, and what the reader can do about it.

mod foreign;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

/// The error of every operation in Synapse.
///
/// It says *what was attempted and why it failed* ([`Display`](fmt::Display)), *what kind of failure* it is
/// ([`kind`](Error::kind)), *whether another attempt can help* ([`retry`](Error::retry)), and carries a stable,
/// machine-readable [`code`](Error::code). A clone is one reference count.
///
/// ```
/// use synapse_core::{Error, ErrorKind, Retry};
///
/// let error = Error::invalid("temperature_out_of_range", "temperature is 3.5, the model takes 0 to 2")
///     .with_param("temperature")
///     .with_hint("send a temperature between 0 and 2");
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.retry(), Retry::Never);
/// assert_eq!(error.to_string(), "temperature is 3.5, the model takes 0 to 2; send a temperature between 0 and 2");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    retry_after: Option<Duration>,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    param: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is; one table maps kinds to HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong and stays wrong: malformed, out of range, contradictory.
    Invalid,
    /// Nobody proved who is asking.
    Unauthenticated,
    /// Who is asking may not.
    Forbidden,
    /// What was named (a model, a route) does not exist here.
    NotFound,
    /// The request is larger than a limit allows.
    TooLarge,
    /// The request is well formed, and this module cannot do what it asks.
    Unsupported,
    /// The caller used up a quota.
    RateLimited,
    /// The caller's balance does not hold what the request may cost.
    PaymentRequired,
    /// There is no room now: a queue or a concurrency limit is full.
    Overloaded,
    /// A deadline passed.
    Timeout,
    /// Nobody could be reached, or nobody is ready.
    Unavailable,
    /// A reply broke off or was not what the protocol allows.
    Broken,
    /// A fault of our own, such as a module that panicked.
    Internal,
}

impl ErrorKind {
    /// Whether the caller caused it: asking somebody else would fail the same way.
    #[must_use]
    pub const fn is_callers_fault(self) -> bool {
        matches!(
            self,
            Self::Invalid
                | Self::Unauthenticated
                | Self::Forbidden
                | Self::NotFound
                | Self::TooLarge
                | Self::Unsupported
                | Self::RateLimited
                | Self::PaymentRequired
        )
    }

    const fn default_retry(self) -> Retry {
        match self {
            Self::Overloaded | Self::Timeout | Self::Unavailable | Self::Broken | Self::Internal => {
                Retry::Elsewhere
            }
            _ => Retry::Never,
        }
    }
}

/// Whether, and how, another attempt can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails the same way everywhere.
    Never,
    /// Somebody else may answer at once.
    Elsewhere,
    /// The same party may answer after this long.
    After(Duration),
}

impl Error {
    /// An error of `kind` with a stable `code` (`snake_case`) and a message that says what was attempted and why it failed.
    pub fn new(
        kind: ErrorKind,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            retry: kind.default_retry(),
            retry_after: None,
            code: code.into(),
            message: message.into(),
            hint: None,
            param: None,
            source: None,
        }))
    }

    /// A request that is wrong and stays wrong.
    pub fn invalid(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// Something this module cannot do.
    pub fn unsupported(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, code, message)
    }

    /// A model that is not served here.
    #[must_use]
    pub fn model_not_found(model: &str) -> Self {
        let shown: String = model.chars().take(128).collect();
        Self::new(
            ErrorKind::NotFound,
            "model_not_found",
            format!("the model {shown:?} is not served here"),
        )
        .with_param("model")
        .with_hint("GET /v1/models lists the models that are")
    }

    /// Nobody could be reached, or nobody is ready.
    pub fn unavailable(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, code, message)
    }

    /// A reply that broke off or broke its protocol.
    pub fn broken(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Broken, code, message)
    }

    /// A fault of our own.
    pub fn internal(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    /// Finds our own error in what a tower stack returned, or makes one of it.
    ///
    /// tower's `Elapsed` becomes [`ErrorKind::Timeout`], its `Overloaded` [`ErrorKind::Overloaded`]; an error that a
    /// `Buffer` or another wrapper holds is found by walking [`source`](StdError::source).
    #[must_use]
    pub fn from_boxed(error: tower::BoxError) -> Self {
        foreign::from_boxed(error)
    }

    /// What a panic left behind, as an error with the code `module_panicked`; the payload goes to the log, not to callers.
    #[must_use]
    pub fn from_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        foreign::from_panic(payload)
    }

    /// The same error with another verdict on retrying.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.edit().retry = retry;
        self
    }

    /// The same error with when whoever refused would answer again: what is left to say once nobody else does either.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.edit().retry_after = Some(wait);
        self
    }

    /// The same error with what the reader can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.edit().hint = Some(hint.into());
        self
    }

    /// The same error with the request field that caused it.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.edit().param = Some(param.into());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<tower::BoxError>) -> Self {
        self.edit().source = Some(Arc::from(source.into()));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether, and how, another attempt can succeed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// When whoever refused would answer again, where that is known: a verdict of [`Retry::After`] says so, and one of
    /// [`Retry::Elsewhere`] may.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.retry {
            Retry::After(wait) => Some(wait),
            Retry::Never | Retry::Elsewhere => self.0.retry_after,
        }
    }

    /// A stable, machine-readable name of this failure, in `snake_case`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What was attempted and why it failed, without the hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the reader can do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The request field that caused it.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.0.param.as_deref()
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message);
        if let Some(hint) = &self.0.hint {
            out.field("hint", hint);
        }
        if let Some(param) = &self.0.param {
            out.field("param", param);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.field("retry", &self.0.retry).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
