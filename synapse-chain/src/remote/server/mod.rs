//! A chain, served to other processes.

mod directories;
mod faucet;
mod follow;
mod places;
mod read;
mod submit;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::map_response_with_state,
    response::Response,
    routing::{get, post},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, pending, select},
};
use http::{HeaderValue, header};
use serde::Serialize;
use synapse_core::{Error, ErrorKind, Stake, SubnetId, Watch};
use tokio::sync::Semaphore;

use self::{directories::Directories, faucet::Faucet, places::Places};
use super::{CHAIN_HEADER, problem};
use crate::{LocalChain, backend::Backend};

/// `chain` as an API, with the defaults of [`ChainApi`].
///
/// ```
/// use synapse_chain::{LocalChain, remote};
///
/// let chain = LocalChain::in_memory();
/// let router: axum::Router = remote::router(chain);
/// # let _ = router;
/// ```
pub fn router(chain: LocalChain) -> Router {
    ChainApi::new(chain).into_router()
}

/// A chain as an API, for [`synapse_http::Server`], which bounds what a peer may cost.
///
/// | route | what it answers |
/// | --- | --- |
/// | `GET /v1/chain` | its id, its newest block, its subnets |
/// | `GET /v1/subnets/{id}` | rules, epoch and members |
/// | `GET /v1/subnets/{id}/weights/{epoch}`, `…/payouts/{epoch}` | what validators submitted, what was paid out |
/// | `GET /v1/accounts/{address}` | balance and next nonce |
/// | `GET /v1/blocks/{height}` | a stored block, byte for byte: its digest is what the next one names as its parent |
/// | `GET /v1/blocks/{height}/head` | its height, time and digest |
/// | `POST /v1/transactions` | the receipt of a signed transaction, once it is in a block; 202 and its hash where that takes long |
/// | `GET /v1/transactions/{hash}` | its receipt |
/// | `GET /v1/follow`, `/v1/follow/{subnet}` | the newest block, and what changes of a subnet, as server-sent events |
/// | `POST /v1/faucet` | funds an account, where the operator allows it |
///
/// Once the chain [halted](LocalChain::halted) the newest block, followers and transactions are answered with 503 and
/// `chain_halted`. Every failure is `{"error": {"kind", "code", "message", "hint"}}`. Nothing but the faucet is changed without a
/// signature.
#[derive(Clone)]
#[must_use = "an API does nothing until it is served"]
pub struct ChainApi {
    chain: LocalChain,
    faucet: Option<Faucet>,
    followers: usize,
    followers_of_one: usize,
    submissions: usize,
    keep_alive: Duration,
    inclusion: Duration,
    ended: Ended,
}

/// Stored blocks that are read at once; further ones wait.
const MOST_READS: usize = 4;

/// Resolves once followers are to leave.
type Ended = Shared<BoxFuture<'static, ()>>;

/// What every handler needs.
struct Served {
    chain: LocalChain,
    faucet: Option<Faucet>,
    followers: Arc<Places>,
    directories: Directories,
    submissions: Semaphore,
    /// For whoever reads a stored block.
    reads: Arc<Semaphore>,
    keep_alive: Duration,
    inclusion: Duration,
    ended: Ended,
}

impl ChainApi {
    /// An API of `chain`.
    pub fn new(chain: LocalChain) -> Self {
        Self {
            chain,
            faucet: None,
            followers: 256,
            followers_of_one: 32,
            submissions: 1024,
            keep_alive: Duration::from_secs(5),
            inclusion: Duration::from_secs(5),
            ended: pending().boxed().shared(),
        }
    }

    /// Gives `amount` out of nothing to whoever asks, once an account, and to at most `accounts` accounts: so much in all
    /// and no more. For development: off unless set. Whom it gave to is forgotten with the process; whoever holds as
    /// much already gets nothing.
    pub fn faucet(mut self, amount: Stake, accounts: usize) -> Self {
        self.faucet = Some(Faucet::new(amount, accounts));
        self
    }

    /// How many may follow at once; 256 by default. Further ones are refused with `too_many_followers`. Each holds a
    /// connection: let there be fewer than [the server takes](synapse_http::Server::max_connections).
    pub fn max_followers(mut self, most: usize) -> Self {
        self.followers = most;
        self
    }

    /// How many of them may come from one address; 32 by default. A node needs one for the chain and one for its subnet.
    pub fn max_followers_per_peer(mut self, most: usize) -> Self {
        self.followers_of_one = most;
        self
    }

    /// How many transactions may be checked or wait for their block at once; 1,024 by default. Further ones are refused
    /// with `too_many_submissions`.
    pub fn max_submissions(mut self, most: usize) -> Self {
        self.submissions = most;
        self
    }

    /// How long a follower hears nothing before a comment is sent; 5 s by default.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval.max(Duration::from_millis(1));
        self
    }

    /// How long whoever submits a transaction waits for its block before the reply is 202; 5 s by default.
    pub fn inclusion_timeout(mut self, limit: Duration) -> Self {
        self.inclusion = limit;
        self
    }

    /// Ends what never ends by itself, the replies to followers, when `done` resolves: so that a server that drains
    /// need not wait for them.
    pub fn until(mut self, done: impl Future<Output = ()> + Send + 'static) -> Self {
        self.ended = done.boxed().shared();
        self
    }

    /// The routes.
    pub fn into_router(self) -> Router {
        let halted = halted(self.chain.halted()).boxed();
        let served = Arc::new(Served {
            chain: self.chain,
            faucet: self.faucet,
            followers: Places::new(self.followers, self.followers_of_one),
            directories: Directories::default(),
            reads: Arc::new(Semaphore::new(MOST_READS)),
            submissions: Semaphore::new(self.submissions.min(Semaphore::MAX_PERMITS)),
            keep_alive: self.keep_alive,
            inclusion: self.inclusion,
            ended: select(self.ended, halted).map(drop).boxed().shared(),
        });
        Router::new()
            .route("/v1/chain", get(read::chain))
            .route("/v1/subnets/{id}", get(read::subnet))
            .route("/v1/subnets/{id}/weights/{epoch}", get(read::weights))
            .route("/v1/subnets/{id}/payouts/{epoch}", get(read::payouts))
            .route("/v1/accounts/{id}", get(read::account))
            .route("/v1/blocks/{height}", get(read::block))
            .route("/v1/blocks/{height}/head", get(read::head))
            .route("/v1/transactions", post(submit::submit))
            .route("/v1/transactions/{hash}", get(read::receipt))
            .route("/v1/follow", get(follow::heads))
            .route("/v1/follow/{subnet}", get(follow::subnet))
            .route("/v1/faucet", post(faucet::give))
            .method_not_allowed_fallback(wrong_method)
            .fallback(unknown_route)
            .layer(map_response_with_state(served.clone(), sign_off))
            .with_state(served)
    }
}

impl From<ChainApi> for synapse_http::Api {
    fn from(api: ChainApi) -> Self {
        api.into_router().into()
    }
}

impl Served {
    fn backend(&self) -> &dyn Backend {
        &**self.chain.backend()
    }

    /// `chain_halted`.
    fn check_running(&self) -> Result<(), Error> {
        match &*self.chain.halted().current() {
            Some(halted) => Err(halted.clone()),
            None => Ok(()),
        }
    }
}

/// Resolves once a chain makes no more blocks for a fault; never where it ends.
async fn halted(mut halted: Watch<Option<Error>>) {
    while let Some(halted) = halted.next().await {
        if halted.is_some() {
            return;
        }
    }
    pending::<()>().await;
}

/// Says in every reply which chain it is of, and that it is of now.
async fn sign_off(State(served): State<Arc<Served>>, mut response: Response) -> Response {
    if let Ok(chain) = HeaderValue::from_str(served.backend().chain().as_str()) {
        response.headers_mut().insert(CHAIN_HEADER, chain);
    }
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// A document, or why there is none.
fn answer<T: Serialize>(result: Result<T, Error>) -> Response {
    written(
        result.map(|document| serde_json::to_vec(&document).expect("the API's documents have a JSON form")),
    )
}

/// A document that is JSON already.
fn written(result: Result<Vec<u8>, Error>) -> Response {
    match result {
        Ok(document) => {
            let mut response = Response::new(document.into());
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(error) => problem::reply(&error),
    }
}

fn subnet_id(text: &str) -> Result<SubnetId, Error> {
    number(text).map(SubnetId)
}

fn number(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(32).collect();
        Error::invalid("bad_number", format!("{shown:?} is no number"))
    })
}

async fn unknown_route(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(128).collect();
    problem::reply(
        &Error::new(
            ErrorKind::NotFound,
            "unknown_route",
            format!("there is no {path} here"),
        )
        .with_hint("GET /v1/chain is"),
    )
}

async fn wrong_method(request: Request) -> Response {
    problem::reply(&Error::invalid(
        "method_not_allowed",
        format!("this path does not take {}", request.method()),
    ))
}

impl fmt::Debug for ChainApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainApi")
            .field("chain", &self.chain)
            .field("faucet", &self.faucet)
            .finish_non_exhaustive()
    }
}
