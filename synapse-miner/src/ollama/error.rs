//! What Ollama says when it fails, as errors that name the remedy.

use http::StatusCode;
use synapse_core::{Error, ErrorKind};
use synapse_http::client::Upstream;

use super::transport;

/// A failure that Ollama tells in words alone: the words, lower case, and what they mean.
struct Words {
    any: &'static [&'static str],
    kind: ErrorKind,
    code: &'static str,
    what: &'static str,
    hint: &'static str,
}

/// The code of a name that no model can have.
const BAD_NAME: &str = "invalid_model_name";
/// What a caller can do where the remedy is the operator's.
const ELSEWHERE: &str = "ask another miner, or try again later; the operator finds the cause in Ollama's log";

/// In order: the first that fits counts. `{model}` stands for the model.
const MEANINGS: [Words; 16] = [
    // Said with 500, before the model is asked anything.
    Words {
        any: &["invalid json schema in format", "invalid format:"],
        kind: ErrorKind::Invalid,
        code: "invalid_schema",
        what: "the JSON schema of the reply is none that Ollama reads",
        hint: "send a simpler schema; patterns are what it reads least of",
    },
    Words {
        any: &[
            "no space left on device",
            "disk quota exceeded",
            "not enough space",
        ],
        kind: ErrorKind::Unavailable,
        code: "disk_full",
        what: "the disk that Ollama keeps its models on is full",
        hint: "make room there (`miner models list`, `miner models remove NAME`) and try again: what was fetched is kept",
    },
    Words {
        any: &[
            "exceeds the context length",
            "exceeds the available context",
            "exceed_context_size",
            "exceeds maximum context length",
        ],
        kind: ErrorKind::Invalid,
        code: "context_length_exceeded",
        what: "the prompt is longer than the context of {model}",
        hint: "send a shorter prompt; GET /synapse/v1/capabilities says how long each model's context is",
    },
    Words {
        any: &["server busy", "maximum pending requests exceeded"],
        kind: ErrorKind::Overloaded,
        code: "engine_overloaded",
        what: "Ollama's queue is full",
        hint: "try again later; its operator sets OLLAMA_MAX_QUEUE and OLLAMA_NUM_PARALLEL",
    },
    Words {
        any: &[
            "requires more system memory",
            "failed to allocate memory",
            "failed to commit memory",
            "memory layout cannot be allocated",
            "out of memory",
            "cannot allocate memory",
            "requires more memory",
        ],
        kind: ErrorKind::Unavailable,
        code: "out_of_memory",
        what: "there is too little memory to load {model}",
        hint: "unload another model (`miner models unload NAME`), set a shorter context, or take a smaller model",
    },
    Words {
        any: &["digest mismatch"],
        kind: ErrorKind::Broken,
        code: "digest_mismatch",
        what: "what was fetched of {model} is not what its digest says",
        hint: "try again; if it happens twice, the registry or the disk is at fault",
    },
    Words {
        any: &[
            "invalid model name",
            "unqualified name",
            "\" is invalid",
            "model is required",
        ],
        kind: ErrorKind::Invalid,
        code: BAD_NAME,
        what: "{model} is no name of a model",
        hint: "take a name as Ollama has them, such as smollm2:135m: letters, digits, and . _ - between them",
    },
    Words {
        any: &["exceeds file size", "unexpected eof"],
        kind: ErrorKind::Unavailable,
        code: "model_broken",
        what: "the file of {model} is cut short",
        hint: "copy the GGUF file again, or fetch the model again (`miner models remove {model}`, `miner models pull {model}`)",
    },
    Words {
        any: &[
            "not in gguf format",
            "invalid file magic",
            "unsupported model format",
            "unable to load model",
            "error loading model",
            "failed to load model",
            "invalid gguf",
            "failed to read tensor",
            "may be incompatible with your version",
            "invalid type:",
            "architecture not set",
        ],
        kind: ErrorKind::Unavailable,
        code: "model_broken",
        what: "the file of {model} is corrupted, or no GGUF file that this Ollama reads",
        hint: "fetch it again (`miner models remove {model}`, `miner models pull {model}`), or update Ollama",
    },
    Words {
        any: &["insecure protocol http", "gave http response to https client"],
        kind: ErrorKind::Invalid,
        code: "insecure_registry",
        what: "the registry of {model} does not speak https",
        hint: "allow it for this pull, if nobody can tamper with the way there",
    },
    Words {
        any: &[
            "pull model manifest: file does not exist",
            "pull model manifest: 404",
            "manifest unknown",
        ],
        kind: ErrorKind::NotFound,
        code: "model_not_in_registry",
        what: "the registry has no model {model}",
        hint: "check the name and its tag; Ollama's library lists what there is",
    },
    Words {
        any: &[
            "unauthorized",
            "pull model manifest: 401",
            "pull model manifest: 403",
            "access denied",
        ],
        kind: ErrorKind::Unavailable,
        code: "registry_refused",
        what: "the registry refuses to hand out {model}",
        hint: "check the name; a private model needs Ollama to be signed in there",
    },
    Words {
        any: &[
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "i/o timeout",
            "max retries exceeded",
            "tls handshake",
            "server misbehaving",
            "unexpected status code",
            "pull model manifest",
            "deadline exceeded",
        ],
        kind: ErrorKind::Unavailable,
        code: "registry_unreachable",
        what: "the registry of {model} cannot be reached, or breaks off",
        hint: "check the network and try again: what was fetched is kept, and is not fetched twice",
    },
    Words {
        any: &[
            "unexpectedly stopped",
            "has terminated",
            "no longer running",
            "model failed to load",
            "error was encountered while running the model",
            "llama-server process",
            "process no longer",
        ],
        kind: ErrorKind::Broken,
        code: "engine_crashed",
        what: "Ollama's runner of {model} stopped",
        hint: "try again: it is started anew; if it goes on, look at Ollama's log",
    },
    Words {
        any: &["does not support"],
        kind: ErrorKind::Unsupported,
        code: "model_cannot",
        what: "{model} cannot do what is asked",
        hint: "leave out what it lacks, such as tools, images or thinking, or take another model",
    },
    Words {
        any: &["not found"],
        kind: ErrorKind::NotFound,
        code: "model_not_found",
        what: "Ollama has no model {model}",
        hint: "fetch it with `miner models pull {model}`",
    },
];

/// The error of a reply that is none, about `model`.
pub(super) fn of_reply(status: StatusCode, body: &[u8], model: Option<&str>) -> Error {
    let said = transport::said(body);
    let of_words = said.as_deref().and_then(|said| of_words(said, model));
    of_words.unwrap_or_else(|| of_status(status, said.as_deref(), model))
}

/// The error of a model that is to be served, and is not there.
pub(super) fn missing(model: &str) -> Error {
    Error::unavailable("model_not_found", format!("Ollama has no model {model}"))
        .with_hint(format!("fetch it with `miner models pull {model}`"))
}

/// The error of a line within an answer, about `model`.
pub(super) fn of_line(said: &str, model: Option<&str>) -> Error {
    of_words(said, model).unwrap_or_else(|| of_status(StatusCode::INTERNAL_SERVER_ERROR, Some(said), model))
}

/// What Ollama meant, where an inference error carries what it said; the same error where it says nothing we know.
pub(super) fn of_inference(error: Error, model: &str) -> Error {
    let upstream = Upstream::of(&error);
    let said = upstream
        .and_then(Upstream::said)
        .unwrap_or_else(|| error.message());
    let is_refused = upstream
        .and_then(Upstream::status)
        .is_some_and(|status| status.is_client_error());
    // What Ollama says names places of this machine: it goes to the log with the source, never to a caller.
    match meaning(said, Some(model)) {
        // Its name was known before it was asked: the words are about something else.
        Some((found, _)) if found.code == BAD_NAME => error,
        // A refusal may quote the caller, whose words are no failure of Ollama's.
        Some((found, _)) if is_refused && !found.kind.is_callers_fault() => error,
        Some((found, what)) if found.code != error.code() => {
            let told = found.error(what, Some(model)).with_source(error);
            match found.kind {
                // What only the operator can do helps no caller.
                ErrorKind::Unavailable | ErrorKind::Broken => told.with_hint(ELSEWHERE),
                ErrorKind::NotFound => told.with_hint("GET /v1/models lists what is served"),
                _ => told,
            }
        }
        _ => error,
    }
}

fn of_words(said: &str, model: Option<&str>) -> Option<Error> {
    let (found, what) = meaning(said, model)?;
    Some(found.error(format!("{what} (it says: {said})"), model))
}

/// What the words mean, and that as a sentence about `model`.
fn meaning(said: &str, model: Option<&str>) -> Option<(&'static Words, String)> {
    let lower = said.to_ascii_lowercase();
    let found = MEANINGS
        .iter()
        .find(|words| words.any.iter().any(|word| lower.contains(word)))?;
    Some((found, found.what.replace("{model}", &named(model))))
}

impl Words {
    fn error(&self, message: String, model: Option<&str>) -> Error {
        let error =
            Error::new(self.kind, self.code, message).with_hint(self.hint.replace("{model}", &named(model)));
        match self.code {
            "model_not_found" => error.with_param("model"),
            _ => error,
        }
    }
}

fn of_status(status: StatusCode, said: Option<&str>, model: Option<&str>) -> Error {
    let said = said.unwrap_or("nothing more");
    let (kind, code) = match status.as_u16() {
        404 => (ErrorKind::NotFound, "ollama_refused"),
        413 => (ErrorKind::TooLarge, "ollama_refused"),
        400..=499 => (ErrorKind::Invalid, "ollama_refused"),
        503 => (ErrorKind::Overloaded, "engine_overloaded"),
        _ => (ErrorKind::Broken, "ollama_failed"),
    };
    let message = format!("Ollama answered {status} about {}: {said}", named(model));
    Error::new(kind, code, message).with_hint("look at Ollama's log")
}

fn named(model: Option<&str>) -> String {
    model.map_or_else(
        || "the model".to_owned(),
        |model| {
            model
                .chars()
                .filter(|char| !char.is_control())
                .take(128)
                .collect()
        },
    )
}
