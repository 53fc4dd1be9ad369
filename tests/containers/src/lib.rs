//! What is left in a Docker, for the tests.

use std::process::Command;

/// The names of what the Docker at `host` has of `owner`: containers, running or not, and directories.
///
/// # Panics
/// Where Docker's own client is not there.
#[must_use]
pub fn left(host: &str, owner: &str) -> Vec<String> {
    let label = format!("label=synapse.owner={owner}");
    let list = |words: &[&str]| {
        let output = Command::new("/usr/bin/docker")
            .args(["--host", host])
            .args(words)
            .args(["--filter", &label])
            .output()
            .expect("Docker's client is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let containers = list(&["ps", "--all", "--format", "{{.Names}}"]);
    let volumes = list(&["volume", "ls", "--format", "{{.Name}}"]);
    containers
        .lines()
        .chain(volumes.lines())
        .map(str::to_owned)
        .collect()
}
