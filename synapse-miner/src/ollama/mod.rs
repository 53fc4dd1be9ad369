//! Ollama as a module, and its models' management.
//!
//! [`OllamaModule`] serves what an Ollama on this machine (or another) has; [`Models`] manages that: lists, fetches, makes,
//! copies, removes, loads and unloads.
//!
//! # In which format a request travels
//! | it came as | it goes to Ollama as | the caller gets |
//! | --- | --- | --- |
//! | Ollama's | Ollama's, on the same route, with `"truncate": false` unless it says something else | what Ollama sent, byte for byte |
//! | OpenAI's | OpenAI's, byte for byte, on `/v1` | what Ollama sent, byte for byte |
//! | OpenAI's, where the prompt may be longer than the context, where it says what `/v1` does not hear (`max_completion_tokens`, `top_k`, `min_p`, `tool_choice: "none"`), or where the operator set a context or a time to keep models | Ollama's, translated | Ollama's reply, translated back |
//! | made in Rust | as OpenAI's | deltas, or OpenAI's |
//!
//! # Ollama's traps
//! | trap | here |
//! | --- | --- |
//! | the default context is short and depends on the machine | what a model was loaded with is asked and advertised (at the first look one is loaded, to see what Ollama gives them); [`Builder::context_length`] sets it |
//! | a prompt that is too long is cut silently | `context_length_exceeded` |
//! | without a seed a reply does not repeat | the same; with one it does on one machine and version |
//! | a full queue (`OLLAMA_MAX_QUEUE`) | `engine_overloaded`: somebody else may answer at once |
//! | a model leaves memory after five minutes, or for another model | it is loaded again; [`Builder::keep_alive`] |
//! | callers load models anew (`num_ctx`, `num_gpu`, …) or unload them (`keep_alive: 0`) | those options are the operator's, and are taken out |
//! | models whose work is done in Ollama's cloud are listed too | not served unless named |
//! | a reply that outgrows the context while it is written goes on without its beginning | the same: send `max_tokens` that fits |

mod builder;
mod catalog;
mod error;
mod flight;
mod models;
mod module;
mod native;
mod route;
mod transport;
mod version;

pub use self::{
    builder::Builder,
    models::{KeepAlive, LoadedModel, Model, ModelDetails, Models, Progress, Transfer},
    module::OllamaModule,
    version::MINIMUM,
};
