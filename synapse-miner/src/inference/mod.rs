//! Engines that speak the OpenAI API, with what each has beyond it: llama-server and vLLM.
