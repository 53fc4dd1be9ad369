//! A real Ollama behind the module, of both kinds: its own runner, and one that starts a llama-server.

mod asking;
mod endings;
mod formats;
mod traps;
mod wrong;
