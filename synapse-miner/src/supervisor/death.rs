//! Why an engine is gone.

use std::{fmt, os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc, time::Duration};

use super::EngineKind;

/// Why an engine is gone, or did not come up: what happened in one line, and what it wrote last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineDeath {
    /// Which engine.
    pub engine: Arc<str>,
    /// A stable name of what happened, in `snake_case`: `engine_killed`, `engine_out_of_memory`, `engine_exited`,
    /// `engine_hung`, `engine_start_timeout`, `engine_stopped`, `port_taken`, `model_missing`, `model_unreadable`,
    /// `engine_flag_unknown`, `engine_program_missing`, `engine_library_missing`, `engine_memory_short`,
    /// `engine_already_supervised`, `engine_not_started`.
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
    /// What it wrote last, oldest first. It is the engine's own text: not for callers.
    pub last_lines: Vec<String>,
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
        let mut death = match Symptom::of(kind, &last_lines) {
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

/// What engines write when they cannot run as they are set up.
struct Symptom {
    code: &'static str,
    /// Each of these, in lower case, is a sign of it.
    signs: &'static [&'static str],
    what: &'static str,
    hint: &'static str,
    hopeless: bool,
}

const SYMPTOMS: &[Symptom] = &[
    Symptom {
        code: "port_taken",
        signs: &[
            "address already in use",
            "couldn't bind http server socket",
            "errno 98",
        ],
        what: "could not listen: somebody else has its port",
        hint: "stop whoever listens there, or give it another port",
        hopeless: false,
    },
    Symptom {
        code: "engine_flag_unknown",
        signs: &[
            "invalid argument:",
            "unknown argument",
            "unrecognized argument",
            "unknown flag",
            "is not known here",
            "unknown shorthand flag",
        ],
        what: "does not know one of its flags",
        hint: "compare its arguments with what its version takes",
        hopeless: true,
    },
    Symptom {
        code: "engine_library_missing",
        signs: &[
            "error while loading shared libraries",
            "libcuda.so",
            "no cuda gpus are available",
        ],
        what: "lacks a library or a device that it was built for",
        hint: "install the driver, or a build for this machine",
        hopeless: true,
    },
    Symptom {
        code: "engine_memory_short",
        signs: &[
            "out of memory",
            "failed to allocate",
            "unable to allocate",
            "cannot allocate memory",
            "bad_alloc",
        ],
        what: "found too little memory",
        hint: "give it fewer slots, a shorter context or a smaller model",
        hopeless: false,
    },
    Symptom {
        code: "model_unreadable",
        signs: &[
            "failed to load model",
            "error loading model",
            "failed to read magic",
            "invalid magic",
            "model loading error",
        ],
        what: "cannot read its model's file",
        hint: "fetch the file again and compare its digest: it is cut off, damaged or for another engine",
        hopeless: true,
    },
];

impl Symptom {
    fn of(kind: EngineKind, lines: &[String]) -> Option<&'static Self> {
        if kind == EngineKind::Other {
            return SYMPTOMS
                .iter()
                .find(|symptom| symptom.code == "port_taken" && symptom.shows(lines));
        }
        SYMPTOMS.iter().find(|symptom| symptom.shows(lines))
    }

    fn shows(&self, lines: &[String]) -> bool {
        lines.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            self.signs.iter().any(|sign| line.contains(sign))
        })
    }

    fn death(&self, engine: &Arc<str>, status: ExitStatus) -> EngineDeath {
        // One that was killed had been running, whatever it wrote.
        if let Some(signal) = status.signal()
            && matches!(signal, 9 | 15)
        {
            return EngineDeath::new(
                engine,
                "engine_killed",
                format!("was killed by {}", signal_name(signal)),
            );
        }
        let death = EngineDeath::new(engine, self.code, self.what).hint(self.hint);
        match self.hopeless {
            true => death.hopeless(),
            false => death,
        }
    }
}

fn signal_name(signal: i32) -> String {
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
