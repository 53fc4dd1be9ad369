//! The contracts of Synapse, an SDK for decentralised inference subnets.
//!
//! **Everything that answers is a module** ([`InferenceModule`]): an engine, a remote endpoint, a pool of miners. A
//! module behind tower layers ([`ModuleExt::with`]) is a module again. A request is an [`Input`], whose bytes are
//! parsed only when somebody asks; an answer is an [`Output`], whose [`Body`] decides once and for all how it ended.
//! Layers are tower layers, most of them a [`Middleware`]; what must be given back lives in a [`Pending`] or a [`Tap`].
//!
//! Roles meet here too: [`Subnet`] is what a node needs of its chain, [`Connect`] makes a module of a member,
//! [`Tokenizer`] and [`PromptRenderer`] say what a model sees. This crate knows no wire format (a [`Dialect`] does),
//! starts no task and owns no runtime.
//!
//! ```
//! use synapse_core::{layer, layers::ConcurrencyLayer, InferenceModule, Input, Message, ModuleExt};
//! # use synapse_core::testkit::Echo;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let module = Echo::new().with(ConcurrencyLayer::new(8));
//! let output = module.run_inference(Input::chat("echo", [Message::user("hello there")])).await?;
//! assert!(output.head.content_type().is_none());
//! # Ok::<(), synapse_core::Error>(())
//! # }).unwrap();
//! ```

/// The README's example, compiled.
#[cfg(all(doctest, feature = "testkit"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
#[cfg(feature = "config")]
pub mod config;
mod connect;
mod data_dir;
mod date;
mod dialect;
mod error;
mod ids;
mod input;
#[cfg(feature = "keys")]
pub mod keys;
pub mod layers;
mod middleware;
mod module;
mod money;
mod output;
mod plain;
pub mod probe;
mod report;
mod subnet;
mod task;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tokenizer;
mod watch;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use self::{
    clock::{SystemClock, WallClock},
    connect::Connect,
    data_dir::DataDir,
    date::Date,
    dialect::{Dialect, Event, Framing},
    error::{Error, ErrorKind, Retry},
    ids::{BlockNumber, CallerId, EpochId, KeyId, NodeId, OperationId, RequestId, Stake, SubnetId},
    input::{
        Allowance, ApiKey, Caller, ClientIp, Content, Deadline, Edits, Input, Message, Params, Part, Prompt,
        Request, View, Wire,
    },
    middleware::{
        AnyNext, FromFn, FromFnService, Middleware, MiddlewareLayer, MiddlewareService, Next, from_fn, layer,
    },
    module::{
        Attached, Capacity, Health, HealthStatus, INTERFACE, InferenceModule, InferenceService, Metric,
        MetricKind, MetricsData, ModelInfo, ModuleCapabilities, ModuleExt, ModuleService, ResourceSpec,
        Stack,
    },
    money::Micros,
    output::{
        Alternative, Body, Chunk, Delta, Ending, FinishReason, Head, Logprobs, Output, Pending, QueueWait,
        RateLimitStatus, RateLimited, Tap, Token, ToolCall, Transform, Usage, WindowStatus,
    },
    plain::{is_plain, plain},
    report::{Reason, ScoreBook, ScoreReport, SubnetSummary},
    subnet::{
        Directory, Endpoint, Epoch, Member, Phase, Registration, Role, Serving, Subnet, SubnetParams, Weight,
        Weights,
    },
    task::Task,
    tokenizer::{Precision, PromptPiece, PromptRenderer, RenderedPrompt, TokenCount, Tokenizer},
    watch::{Watch, WatchSender},
};
