//! A module as an OpenAI-compatible API.
//!
//! A reply goes out as it came in: where the module speaks OpenAI's format too, its events pass byte for byte; what a
//! module in Rust says is rendered; where client and module disagree about streaming, it is folded or unfolded. A
//! failure before the reply's first content has a status of its own. One in the middle of a stream is an event
//! `data: {"error": …}`, which OpenAI's clients raise, without `[DONE]`, and the connection ends without the mark of a
//! complete reply: truncated is never complete.

mod about;
mod api;
mod door;
mod health;
mod inference;
mod intake;
mod lifecycle;
mod metrics;
mod refusal;
mod reply;
mod routes;
mod stream;
mod whole;

pub(crate) use self::lifecycle::Lifecycle;
pub use self::{
    api::{Api, RouterBuilder, router},
};
