//! Real parts for tests, as the scripts install them: each is found, or installed, or the test that needs it fails and
//! says which command would have brought it. Nothing is skipped.

pub mod crowd;
pub mod llama_server;
pub mod model_registry;
#[cfg(unix)]
pub mod ollama;
pub mod ollama_image;
#[cfg(unix)]
pub mod redis;

#[cfg(target_os = "linux")]
mod docker;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[cfg(target_os = "linux")]
pub use self::docker::{OwnDocker, docker, image};

/// What `scripts/NAME ARGUMENTS…` prints: the place of a part, which is installed where it is not there yet.
///
/// # Panics
/// Where the script fails.
#[must_use]
pub fn part(name: &str, arguments: &[&str]) -> String {
    let script = root().join("scripts").join(name);
    let output = Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", script.display()));
    assert!(
        output.status.success(),
        "{} failed; run it by hand",
        script.display()
    );
    let printed = String::from_utf8(output.stdout).expect("a script prints text");
    printed.trim().to_owned()
}

/// The chat model: SmolLM2-135M-Instruct, a GGUF file.
#[must_use]
pub fn model() -> PathBuf {
    part("fetch-model", &[]).into()
}

/// llama.cpp's own server, by its flags.
#[must_use]
pub fn llama_server() -> PathBuf {
    part("fetch-llama-server", &[]).into()
}

/// An Ollama by the release's kind: `self-contained` or `current`.
#[must_use]
pub fn ollama(kind: &str) -> PathBuf {
    part("fetch-ollama", &[kind]).into()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
