//! A module as an OpenAI-compatible API: from an HTTP request to an input, and from an output to an HTTP reply.

mod about;
mod api;
mod door;
mod health;
mod inference;
mod intake;
mod lifecycle;
mod metrics;
mod ollama;
mod rate_limit;
mod refusal;
mod reply;
mod routes;
mod stream;
mod whole;

pub use self::api::{Api, RouterBuilder, router};
pub(crate) use self::{intake::read_raw, lifecycle::Lifecycle, refusal::refusal, routes::wrong_method};
