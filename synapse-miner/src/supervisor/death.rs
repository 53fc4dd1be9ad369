//! Why an engine is gone.

use std::{fmt, os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc, time::Duration};

use super::{EngineKind, symptom::Symptom};

/// Why an engine is gone, or did not come up: what happened in one line, and what it wrote last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineDeath {
    /// Which engine.
    pub engine: Arc<str>,
    /// A stable name of what happened, in `snake_case`: `engine_killed`, `engine_out_of_memory`, `engine_exited`,
    /// `engine_hung`, `engine_start_timeout`, `engine_stopped`, `port_taken`, `model_missing`, `model_unreadable`,
    /// `engine_flag_unknown`, `engine_program_missing`, `engine_library_missing`, `engine_memory_short`,
    /// `engine_gpu_memory_short`, `engine_gpu_failed`, `engine_already_supervised`, `engine_not_started`.
    pub code: &'static str,
    /// What happened, to be read after the engine's name.
    pub what: String,
    /// What the operator can do.
    pub hint: Option<&'static str>,
    /// Whether somebody has to change something before it can run.
    pub hopeless: bool,
    /// Whether that was seen before it was begun.
    pub(super) not_begun: bool,
    /// How long it was ready.
    pub ran: Duration,
    /// What it wrote last, oldest first, without the frames of a stack. It is the engine's own text: not for callers.
    pub last_lines: Vec<String>,
    /// Which of those shows why, where one does.
    telling: Option<u8>,
}

impl EngineDeath {
    pub(super) fn new(engine: &Arc<str>, code: &'static str, what: impl Into<String>) -> Self {
        Self {
            engine: engine.clone(),
            code,
            what: what.into(),
            hint: None,
            hopeless: false,
            not_begun: false,
            ran: Duration::ZERO,
            last_lines: Vec::new(),
            telling: None,
        }
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(super) fn hopeless(mut self) -> Self {
        self.hopeless = true;
        self
    }

    /// The same, seen before anything was begun.
    pub(super) fn not_begun(mut self) -> Self {
        (self.hopeless, self.not_begun) = (true, true);
        self
    }

    /// The last line that it wrote.
    #[must_use]
    pub fn last_line(&self) -> Option<&str> {
        self.last_lines.last().map(String::as_str)
    }

    /// The line that shows why.
    pub(super) fn telling_line(&self) -> Option<&str> {
        let line = self.last_lines.get(usize::from(self.telling?));
        line.map(String::as_str)
    }

    /// What `status` and the last lines of an engine's log come to, where the system killed one of its processes for want of
    /// memory or not.
    pub(super) fn explain(
        engine: &Arc<str>,
        kind: EngineKind,
        status: ExitStatus,
        out_of_memory: bool,
        last_lines: Vec<String>,
    ) -> Self {
        let is_kill = status.signal() == Some(9) || status.code() == Some(137);
        let symptom = Symptom::of(kind, &last_lines);
        let telling = symptom.and_then(|symptom| u8::try_from(symptom.telling(&last_lines)?).ok());
        let mut death = match symptom {
            _ if out_of_memory && is_kill => Self::new(
                engine,
                "engine_out_of_memory",
                "was killed by the system: it ran out of memory",
            )
            .hint("give it more memory, fewer slots, a shorter context or a smaller model"),
            Some(symptom) => symptom.death(engine, status),
            None => match (status.code(), status.signal()) {
                (_, Some(signal)) => Self::new(
                    engine,
                    "engine_killed",
                    format!("was killed by {}", signal_name(signal)),
                ),
                (Some(127), _) => Self::new(
                    engine,
                    "engine_program_missing",
                    "could not be run: there is no such program",
                )
                .hint("install it, or name its place")
                .hopeless(),
                (Some(126), _) => Self::new(
                    engine,
                    "engine_program_missing",
                    "could not be run: its program is not executable",
                )
                .hint("make it executable, or name another")
                .hopeless(),
                // What a shell, or whatever else starts engines, says of a child that a signal ended.
                (Some(code @ 129..=159), _) => Self::new(
                    engine,
                    "engine_killed",
                    format!("ended with {code}: killed by {}", signal_name(code - 128)),
                ),
                (code, _) => Self::new(
                    engine,
                    "engine_exited",
                    format!("ended by itself with {}", code.unwrap_or_default()),
                ),
            },
        };
        death.telling = telling.filter(|_| symptom.is_some_and(|symptom| symptom.code == death.code));
        death.last_lines = last_lines;
        death
    }
}

impl fmt::Display for EngineDeath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.engine, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Its own text is part of the source of an error, which is logged and not told to callers.
impl std::error::Error for EngineDeath {}

pub(super) fn signal_name(signal: i32) -> String {
    let meaning = match signal {
        2 => "SIGINT",
        4 => "SIGILL: an instruction that this processor does not have",
        6 => "SIGABRT: it gave up on itself",
        7 => "SIGBUS: a file that it had mapped was cut off, or a disk failed",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV: a fault of its own",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({meaning})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(raw: i32, out_of_memory: bool, lines: &[&str]) -> (String, &'static str, bool) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let status = ExitStatus::from_raw(raw);
        let death = EngineDeath::explain(
            &"llama-server".into(),
            EngineKind::LlamaServer,
            status,
            out_of_memory,
            lines,
        );
        (death.what, death.code, death.hopeless)
    }

    #[test]
    fn endings_are_told_in_one_line() {
        let exit = |code: i32| code << 8;
        let cases = [
            (9, false, "", "engine_killed", false),
            (9, true, "", "engine_out_of_memory", false),
            (exit(137), false, "", "engine_killed", false),
            (exit(0), false, "", "engine_exited", false),
            (exit(127), false, "", "engine_program_missing", true),
            (
                exit(1),
                false,
                "E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 1",
                "port_taken",
                false,
            ),
            (
                exit(1),
                false,
                "Error: listen tcp 127.0.0.1:11434: bind: address already in use",
                "port_taken",
                false,
            ),
            (
                exit(1),
                false,
                "error: invalid argument: --frobnicate",
                "engine_flag_unknown",
                true,
            ),
            (
                exit(1),
                false,
                "E common_init_: failed to load model 'bad.gguf'",
                "model_unreadable",
                true,
            ),
            (
                exit(1),
                false,
                "ggml: unable to allocate CPU buffer",
                "engine_memory_short",
                false,
            ),
            // What a llama-server and PyTorch wrote on one H100 whose memory another process had.
            (
                6,
                false,
                "0.01.752.013 E CUDA error: out of memory",
                "engine_gpu_memory_short",
                false,
            ),
            (
                exit(1),
                false,
                "0.01.485.369 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 92.17 MiB on device 0: cudaMalloc failed: out of memory",
                "engine_gpu_memory_short",
                false,
            ),
            (
                exit(1),
                false,
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 200.00 GiB. GPU 0 has a total capacity of 79.18 GiB",
                "engine_gpu_memory_short",
                false,
            ),
            (
                exit(1),
                false,
                "RuntimeError: No CUDA GPUs are available",
                "engine_library_missing",
                true,
            ),
            (
                exit(1),
                false,
                "torch.AcceleratorError: CUDA error: device-side assert triggered",
                "engine_gpu_failed",
                false,
            ),
            // It went on without a GPU, and died of something else.
            (
                exit(1),
                false,
                "0.00.014.851 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
                "engine_exited",
                false,
            ),
            (
                9,
                false,
                "warning: out of memory, trying again",
                "engine_killed",
                false,
            ),
        ];
        for (raw, out_of_memory, line, code, hopeless) in cases {
            let (what, found, is_hopeless) = explain(raw, out_of_memory, &[line]);
            assert_eq!((found, is_hopeless), (code, hopeless), "{line:?}: {what}");
        }
        assert_eq!(explain(9, false, &[]).0, "was killed by signal 9 (SIGKILL)");
        assert_eq!(explain(exit(3), false, &[]).0, "ended by itself with 3");
    }
}
