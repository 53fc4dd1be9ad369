//! What is served: routes, and the module behind them.

use std::{any::Any, convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::{extract::Request, middleware, response::IntoResponse, routing::Route};
use synapse_core::{Error, InferenceModule, NodeId};
use tower::{Layer, Service};

use super::{
    door::DoorLayer,
    lifecycle::Lifecycle,
    routes::{self, Served},
};
use crate::{
    api_keys::ApiKeysLayer,
    proxies::TrustedProxies,
    scores::Scores,
    signed::{self, Gate, Verifier},
};

/// `module` as an OpenAI-compatible API, with the defaults of [`Api::builder`].
///
/// ```
/// use synapse_core::testkit::Echo;
///
/// let api = synapse_http::router(Echo::new());
/// let router: axum::Router = api.into_router();
/// # let _ = router;
/// ```
pub fn router(module: impl InferenceModule) -> Api {
    Api::builder(module).build()
}

/// Routes and the module behind them: what [`serve`](crate::serve) takes.
///
/// | route | what it answers |
/// | --- | --- |
/// | `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings` | inference |
/// | `POST /api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings` | the same [in Ollama's format](crate::dialect::ollama) |
/// | `GET /v1/models`, `/v1/models/{id}` | the models that the module serves |
/// | `GET /api/tags`, `/api/ps`, `/api/version`, `POST /api/show` | the same for Ollama's clients, as far as it is known |
/// | `GET /health/live`, `/health/ready` | 200, or 503 with the reason |
/// | `GET /metrics` | what the module counted, for Prometheus; of a [signed](Self::signed) API [apart](Self::metrics_router) |
/// | `GET /synapse/v1/capabilities` | the module's capabilities |
///
/// A reply goes out as it came in: where the module speaks OpenAI's format too, its events pass byte for byte; what a
/// module in Rust says is rendered; where client and module disagree about streaming, it is folded or unfolded.
///
/// Every error is OpenAI's `{"error": {"message", "type", "param", "code"}}`. One before the reply's first content has a
/// status of its own. One in the middle of a stream is an event `data: {"error": …}`, which OpenAI's clients raise; then
/// the connection ends without `[DONE]` and without the mark of a complete reply: truncated is never complete.
///
/// Below `/api` errors are Ollama's: `{"error": "…"}`, in a stream as a last line. What manages models there (pull, push,
/// create, copy, delete, blobs) is refused with 403, whoever asks.
///
/// A request's body is JSON, plain or gzipped, and is validated before the module sees it. The extensions that layers put
/// on the HTTP request become those of the [`Input`](synapse_core::Input); where none of them is a
/// [`Caller`](synapse_core::Caller), the caller is its address, `ip:…`, of IPv6 its /64: the same as
/// [`ClientIp`](synapse_core::ClientIp). Behind a proxy everybody has the proxy's address and is one caller, with one quota,
/// unless the API [knows the proxy](Self::trusted_proxies) or asks for [keys](crate::api_keys).
///
/// What a caller has left of its quota, where a layer says so ([`RateLimitStatus`](synapse_core::RateLimitStatus)), stands in
/// the headers `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as OpenAI's clients read them.
#[derive(Clone)]
#[must_use = "an API does nothing until it is served"]
pub struct Api {
    routes: axum::Router,
    probes: axum::Router,
    metrics: axum::Router,
    lifecycle: Lifecycle,
    verifier: Option<Arc<Verifier>>,
    proxies: TrustedProxies,
    has_keys: bool,
}

impl Api {
    /// `module` as an API, with options.
    pub fn builder<M: InferenceModule>(module: M) -> RouterBuilder<M> {
        RouterBuilder {
            module,
            options: Options::default(),
        }
    }

    /// Puts a layer of HTTP, such as authentication, around every route but `/health/*`, whose askers carry no keys.
    /// The layer added last runs first. One that asks for keys is [`ApiKeysLayer`].
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.has_keys |= (&layer as &dyn Any).is::<ApiKeysLayer>();
        self.routes = self.routes.layer(layer);
        self
    }

    /// Takes these proxies' word for where a request came from. Nobody's, unless set: then it came from whoever connects.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Adds routes of your own. Layers added later are around them too.
    ///
    /// # Panics
    /// Where a route is there already, or `routes` has a fallback.
    pub fn merge(mut self, routes: axum::Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Adds a validator's scores: `GET /synapse/v1/score`, of which a signature is demanded, and `/synapse/v1/summary`.
    /// For an API that is not [signed](Self::signed) otherwise. Layers added later are around them too.
    pub fn scores(mut self, scores: Scores) -> Self {
        self.routes = self.routes.merge(scores.into_routes(self.lifecycle.clone()));
        self
    }

    /// Demands a signature of every request but those for `/health/*`, as `verifier` does. Layers find who signed among
    /// the extensions: [`SignedBy`](crate::SignedBy), and the same node as [`Caller`](synapse_core::Caller).
    ///
    /// Signatures are checked before any layer or route of yours is asked, wherever in the chain this stands. The
    /// server is not ready before the verifier has [opened](Verifier::opened), 2 s after its start.
    ///
    /// `/metrics` is then nobody's here: Prometheus does not sign, and other members get 404. Serve
    /// [`metrics_router`](Self::metrics_router) to the operator.
    pub fn signed(mut self, verifier: impl Into<Arc<Verifier>>) -> Self {
        let verifier = verifier.into();
        let opens = verifier.clone();
        self.verifier = Some(verifier);
        self.ready_when("requests signed before its start to expire", async move {
            opens.opened().await;
            Ok(())
        })
    }

    /// Has the server wait for `done` before it serves, as it waits for the module to initialise: until then
    /// `/health/ready` and requests answer 503, which names `what` it waits for: `"the chain"`. Where `done` fails, so
    /// does [`Server::serve`](crate::Server::serve).
    pub fn ready_when(
        self,
        what: impl Into<Arc<str>>,
        done: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Self {
        self.lifecycle.gate(what.into(), done);
        self
    }

    /// `GET /metrics` alone, for a server of the operator's own; without a module, nothing. No layer and no signature
    /// guards it, so bind it where only the operator reaches it.
    ///
    /// ```no_run
    /// # async fn run(verifier: synapse_http::Verifier) -> Result<(), synapse_core::Error> {
    /// use synapse_core::testkit::Echo;
    /// use synapse_http::{Server, router, serve};
    ///
    /// let api = router(Echo::new()).signed(verifier);
    /// let metrics = serve("127.0.0.1:9100", api.metrics_router());
    /// let served = Server::bind("127.0.0.1:8091").await?.serve(api);
    /// tokio::try_join!(served, metrics)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics_router(&self) -> axum::Router {
        self.metrics.clone()
    }

    /// The routes alone, to embed elsewhere. Whoever does so owns the module's life: initialise it before, shut it
    /// down after, and wait for whatever [`ready_when`](Self::ready_when) names. They also see to the network: a
    /// [`Server`](crate::Server) that is given these routes cannot tell that they demand signatures or ask for no keys, and
    /// serves them on any address, without TLS unless it is [told not to](crate::Server::allow_plain_http).
    pub fn into_router(self) -> axum::Router {
        self.into_parts().0
    }

    /// Whether it is for nodes alone.
    pub(crate) fn demands_signatures(&self) -> bool {
        self.verifier.is_some()
    }

    /// Whether whoever reaches it may ask its module, as far as is known here.
    pub(crate) fn is_open(&self) -> bool {
        self.lifecycle.has_module() && self.verifier.is_none() && !self.has_keys
    }

    pub(crate) fn into_parts(self) -> (axum::Router, Lifecycle) {
        let routes = match self.verifier {
            Some(verifier) => {
                let lifecycle = self.lifecycle.clone();
                let gate = Gate { verifier, lifecycle };
                self.routes
                    .layer(middleware::from_fn_with_state(gate, signed::gate))
            }
            None => self.routes,
        };
        let router = routes.merge(self.probes).layer(DoorLayer {
            proxies: self.proxies,
        });
        (router, self.lifecycle)
    }
}

impl From<axum::Router> for Api {
    /// Any routes, without a module.
    fn from(routes: axum::Router) -> Self {
        Self {
            routes,
            probes: axum::Router::new(),
            metrics: axum::Router::new(),
            lifecycle: Lifecycle::of(None),
            verifier: None,
            proxies: TrustedProxies::none(),
            has_keys: false,
        }
    }
}

impl<M: InferenceModule> From<RouterBuilder<M>> for Api {
    fn from(builder: RouterBuilder<M>) -> Self {
        builder.build()
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("lifecycle", &self.lifecycle)
            .field("verifier", &self.verifier)
            .field("has_keys", &self.has_keys)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// A module on its way to becoming an [`Api`]; made by [`Api::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct RouterBuilder<M> {
    module: M,
    options: Options,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) max_body_bytes: usize,
    pub(super) controls: bool,
    pub(super) keep_alive: Duration,
    pub(super) ollama: bool,
    pub(super) node_id: Option<NodeId>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 * 1024 * 1024,
            controls: false,
            keep_alive: Duration::from_secs(15),
            ollama: true,
            node_id: None,
        }
    }
}

impl<M: InferenceModule> RouterBuilder<M> {
    /// How long a request's body may be once it is decompressed; 16 MiB by default, 413 beyond.
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.options.max_body_bytes = limit;
        self
    }

    /// Whether [control chunks](synapse_core::Chunk::control) are sent: each as an SSE event of its own, or as a header
    /// `x-synapse-<name>` of a reply that is not streamed, where it can be one (in lower case, at most 8 KiB, without line
    /// ends; of several with one name and of more than 16 in all, whoever reads it may drop some). A miner's router sends them to its validator; by default
    /// they are dropped, which is right for everything that clients reach.
    pub fn controls(mut self, sent: bool) -> Self {
        self.options.controls = sent;
        self
    }

    /// Whether Ollama's routes are served too, below `/api`; they are unless set.
    pub fn ollama(mut self, served: bool) -> Self {
        self.options.ollama = served;
        self
    }

    /// How long a stream may be silent before a comment is sent (in Ollama's format a space), so that nobody on the way takes it for dead; 15 s by
    /// default.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.options.keep_alive = interval.max(Duration::from_millis(1));
        self
    }

    /// Who answers, for the header `x-synapse-miner` of replies whose module does not say it, and for the capabilities.
    pub fn node_id(mut self, id: impl Into<NodeId>) -> Self {
        self.options.node_id = Some(id.into());
        self
    }

    /// The API.
    pub fn build(self) -> Api {
        let module: Arc<dyn InferenceModule> = Arc::new(self.module);
        let lifecycle = Lifecycle::of(Some(module.clone()));
        let served = Arc::new(Served::new(module, lifecycle.clone(), self.options));
        Api {
            routes: routes::api(served.clone()),
            probes: routes::probes(served.clone()),
            metrics: routes::operators(served),
            lifecycle,
            verifier: None,
            proxies: TrustedProxies::none(),
            has_keys: false,
        }
    }
}

impl<M> fmt::Debug for RouterBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
