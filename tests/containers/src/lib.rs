//! What is left in a Docker, for the tests.

use std::process::Command;

/// The names of what the Docker at `host` has of `owner`: containers, running or not, and directories.
///
/// # Panics
/// Where Docker's own client is not there.
#[must_use]
pub fn left(host: &str, owner: &str) -> Vec<String> {
    let mut names = list(host, owner, &["ps", "--all", "--format", "{{.Names}}"]);
    names.extend(list(host, owner, &["volume", "ls", "--format", "{{.Name}}"]));
    names
}

/// The names of the containers of `owner` that run in the Docker at `host`.
///
/// # Panics
/// Where Docker's own client is not there.
#[must_use]
pub fn running(host: &str, owner: &str) -> Vec<String> {
    list(host, owner, &["ps", "--format", "{{.Names}}"])
}

fn list(host: &str, owner: &str, words: &[&str]) -> Vec<String> {
    let output = Command::new("/usr/bin/docker")
        .args(["--host", host])
        .args(words)
        .args(["--filter", &format!("label=synapse.owner={owner}")])
        .output()
        .expect("Docker's client is there");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.lines().map(str::to_owned).collect()
}
