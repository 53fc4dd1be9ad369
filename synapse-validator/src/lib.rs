//! The validator's side of a Synapse subnet: how requests reach miners that nobody has to trust.
//!
//! - [`pool`]: the miners of a directory as one module, with balancing and fail-over before the first content;
//! - [`token_count`]: prompts and replies, counted by ourselves;
//! - [`rate_limit`]: quotas of requests and tokens a caller, reserved and settled exactly;
//! - [`trace`]: what happened to each request.
//!
//! All of it is tower layers and modules of `synapse-core`: take one, or all. A gateway reads top to bottom in the
//! order in which a request travels:
//!
//! ```
//! use std::sync::Arc;
//! use synapse_core::{testkit::Echo, BlockNumber, Directory, Endpoint, InferenceModule, Input, Member, Message,
//!     ModuleExt, Role, Watch};
//! use synapse_validator::{
//!     pool::{MinerPool, P2c, PeakEwma},
//!     rate_limit::{Quota, RateLimitLayer},
//!     token_count::{TokenCountLayer, Tokenizers},
//!     trace::TraceLayer,
//! };
//! use tower::ServiceBuilder;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let miner = Member::new("miner-1", Role::Miner).with_endpoint(Endpoint::http("http://127.0.0.1:8091")?);
//! let directory = Watch::constant(Directory::new([miner], BlockNumber(1)));
//! let connect = |_: &Member| Ok(Arc::new(Echo::new()) as Arc<dyn InferenceModule>);
//! let (trace, count) = (TraceLayer::new(), TokenCountLayer::new(Tokenizers::new()));
//! let limit = RateLimitLayer::per_caller(Quota::requests_per_minute(60).and(Quota::tokens_per_day(200_000)));
//!
//! let gateway = MinerPool::watch(directory, connect)
//!     .balance(P2c::new(PeakEwma::default()))
//!     .with(ServiceBuilder::new().layer(trace.clone()).layer(count.clone()).layer(limit.clone()))
//!     .attach(trace)
//!     .attach(count)
//!     .attach(limit);
//!
//! gateway.initialize().await?;
//! let output = gateway.run_inference(Input::chat("echo", [Message::user("hello")])).await?;
//! assert_eq!(output.head.served_by(), Some(&"miner-1".into()));
//! # Ok::<(), synapse_core::Error>(())
//! # }).unwrap();
//! ```

pub mod pool;
pub mod rate_limit;
pub mod token_count;
pub mod trace;

pub use self::{
    pool::{MinerPool, P2c, PeakEwma},
    rate_limit::{Quota, RateLimitLayer},
    token_count::{TokenCountLayer, Tokenizers},
    trace::TraceLayer,
};
