//! Synapse over HTTP: any module as an OpenAI-compatible server, any such endpoint as a module.
//!
//! - [`dialect`]: wire formats. [`OpenAi`] and [`Ollama`] read requests without copying them, edit them in place, and say
//!   what each event of a reply is; what both can say is translated.
//! - [`sse`]: cuts a stream of bytes into events, however it is split and whatever its line ends.
//! - [`api_keys`]: who may ask, for which models, and how much; [`proxies`]: where a request came from.
//! - [`client`]: [`OpenAiModule`] makes a module of an endpoint, [`HttpConnect`] one of a subnet's member.
//! - [`router`]: a module as an [`Api`] that OpenAI's and Ollama's clients reach; [`serve`] and [`Server`] put it on a port, with a
//!   bound on whatever a peer may cost.
//! - [`scores`]: a validator's scores, signed, for the miners that they are about.
//! - [`signed`]: requests that prove who asks, and the [`Verifier`] that checks them.
//! - [`tls`]: TLS between nodes, with certificates that a node's key vouches for.
//! - [`status`]: one table of failures: our kinds, HTTP statuses, OpenAI's types.
//!
//! ```no_run
//! use synapse_core::{InferenceModule, Input, Message};
//! use synapse_http::OpenAiModule;
//!
//! # async fn ask() -> Result<(), synapse_core::Error> {
//! let module = OpenAiModule::connect("http://127.0.0.1:11434").await?;
//! let output = module.run_inference(Input::chat("smollm2", [Message::user("Name a colour.")])).await?;
//! # drop(output);
//! # Ok(())
//! # }
//! ```

pub mod api_keys;
pub mod client;
#[cfg(feature = "config")]
pub mod config;
pub mod dialect;
mod digest;
pub mod headers;
pub mod proxies;
mod router;
pub mod scores;
mod serve;
pub mod signed;
pub mod sse;
pub mod status;
pub mod tls;

pub use self::{
    api_keys::ApiKeysLayer,
    client::{HttpConnect, OpenAiModule, ScoresClient, SignedHttp},
    dialect::{Ollama, OpenAi},
    router::{Api, RouterBuilder, router},
    scores::Scores,
    serve::{PeerAddr, Server, serve},
    signed::{SignedBy, Verifier},
};
