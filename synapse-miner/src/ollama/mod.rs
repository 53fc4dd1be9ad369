//! Ollama as a module, and its models' management.
