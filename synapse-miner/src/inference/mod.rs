//! Engines that speak the OpenAI API, with what each has beyond it: llama-server and vLLM.
//!
//! [`LlamaServerModule`] and [`VllmModule`] forward inference byte for byte, as [`OpenAiModule`](synapse_http::OpenAiModule)
//! does; what they add is knowing the engine: its models and their context, its slots and who waits for one, its own metrics,
//! its tokens, and its errors by name. What each release can do is recorded in [`features`]. [`MeterLayer`] measures what comes out of any engine.
//!
//! What would have an engine fetch something, or reach past a caller's own request, is refused before it gets there:
//! addresses instead of an image's data (`remote_media`), and a few fields of its own that [`features::reference`] lists.
//!
//! Nothing else of an engine is reachable through them: a node's router has no route that leads to its management endpoints.

mod endpoint;
mod exposition;
pub mod features;
mod llama_server;
mod meter;
pub(crate) mod screen;
mod vllm;
mod weights;

pub use self::{
    llama_server::{LlamaServerModule, Slot},
    meter::MeterLayer,
    vllm::VllmModule,
};
