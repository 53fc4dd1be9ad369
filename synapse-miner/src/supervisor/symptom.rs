//! What an engine's log says of why it is gone.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc};

use super::{EngineDeath, EngineKind, death::signal_name};

/// What engines write when they cannot run as they are set up.
pub(super) struct Symptom {
    pub(super) code: &'static str,
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
            "cuda error: no cuda-capable device",
            "cuda error: cuda driver version",
        ],
        what: "lacks a library or a device that it was built for",
        hint: "install the driver, or a build for this machine",
        hopeless: true,
    },
    Symptom {
        code: "engine_gpu_memory_short",
        signs: &[
            "cudamalloc failed: out of memory",
            "cuda error: out of memory",
            "cuda out of memory",
            "cublas_status_alloc_failed",
            // vLLM's.
            "less than desired gpu memory utilization",
            "no available memory for the cache blocks",
            "larger than the available kv cache memory",
        ],
        what: "found too little memory on its GPU",
        hint: "see with nvidia-smi who else has the GPU's memory, or give it fewer slots, a shorter context or a smaller model",
        hopeless: false,
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
        code: "engine_gpu_failed",
        signs: &["cuda error"],
        what: "failed at its GPU",
        hint: "look at the GPU with nvidia-smi, and for Xid in the kernel's log",
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
    pub(super) fn of(kind: EngineKind, lines: &[String]) -> Option<&'static Self> {
        if kind == EngineKind::Other {
            return SYMPTOMS
                .iter()
                .find(|symptom| symptom.code == "port_taken" && symptom.shows(lines));
        }
        SYMPTOMS.iter().find(|symptom| symptom.shows(lines))
    }

    fn shows(&self, lines: &[String]) -> bool {
        self.telling(lines).is_some()
    }

    /// Which line has a sign of it; the last of them.
    pub(super) fn telling(&self, lines: &[String]) -> Option<usize> {
        lines.iter().rposition(|line| {
            let line = line.to_ascii_lowercase();
            self.signs.iter().any(|sign| line.contains(sign))
        })
    }

    pub(super) fn death(&self, engine: &Arc<str>, status: ExitStatus) -> EngineDeath {
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

/// Whether a line is a frame of a stack, of which one that gives up on itself writes more than of why: as the C library
/// writes it, or a debugger.
pub(super) fn is_frame(line: &str) -> bool {
    let of_library = line.ends_with(']') && line.contains("+0x") && line.contains(")[0x");
    let of_debugger = line.strip_prefix('#').is_some_and(|rest| {
        let number = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        number.len() < rest.len() && number.starts_with("  ")
    });
    of_library || of_debugger
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_stack_are_told_from_what_an_engine_says() {
        let frames = [
            "/usr/bin/llama-server(+0x1a659fb)[0x563711d179fb]",
            "/lib/x86_64-linux-gnu/libc.so.6(__libc_start_main+0x8b)[0x7f2302e2a28b]",
            "#0  0x00007f1c2a0ea42f in __GI___wait4 () from /lib64/libc.so.6",
            "#12  main () at main.cpp:4",
        ];
        let lines = [
            "0.01.752.013 E CUDA error: out of memory",
            "0.01.752.026 E   current device: 0, in function stream at common.cuh:1522",
            "[GIN] 2026/01/01 - 00:00:00 | 200 | 1ms | 127.0.0.1 | GET [0x1]",
            "# 1 model is loaded",
            "",
        ];
        assert!(frames.iter().all(|line| is_frame(line)));
        assert!(!lines.iter().any(|line| is_frame(line)));
    }
}
