//! What Docker refused, in words that say what to do.

use bollard::errors::Error as Docker;
use synapse_core::{Error, ErrorKind};

/// The longest message of Docker's that is passed on, in characters.
const SHOWN: usize = 512;

/// `error`, met while trying to `attempt`.
pub(crate) fn fault(attempt: &str, error: Docker) -> Error {
    match &error {
        Docker::DockerResponseServerError { status_code, message } => {
            let said = shown(message);
            refused(attempt, *status_code, &said)
        }
        Docker::RequestTimeoutError => Error::new(
            ErrorKind::Timeout,
            "docker_timeout",
            format!("cannot {attempt}: Docker did not answer in time"),
        ),
        _ => Error::unavailable(
            "docker_unreachable",
            format!("cannot {attempt}: Docker does not answer"),
        )
        .with_hint("start Docker, let this user reach its socket, or name another one with DOCKER_HOST"),
    }
    .with_source(error)
}

/// Whether what was asked for is not there (any more).
pub(crate) fn is_gone(error: &Docker) -> bool {
    matches!(error, Docker::DockerResponseServerError { status_code: 404, .. })
}

/// Whether what was to be removed is on its way already.
pub(crate) fn is_being_removed(error: &Docker) -> bool {
    matches!(
        error,
        Docker::DockerResponseServerError { status_code: 409, message } if message.contains("already in progress")
    )
}

fn refused(attempt: &str, status: u16, said: &str) -> Error {
    let lower = said.to_lowercase();
    if status == 404 && lower.contains("no such image") {
        return Error::new(
            ErrorKind::NotFound,
            "image_not_found",
            format!("cannot {attempt}: this machine does not have the image"),
        )
        .with_hint(
            "pull or load it first (docker pull, docker load), and write its name as docker images lists it",
        );
    }
    if status == 404 && lower.contains("no such container") {
        return Error::new(
            ErrorKind::NotFound,
            "container_gone",
            format!("cannot {attempt}: somebody removed it"),
        )
        .with_hint("leave the containers named synapse-… to the process that started them");
    }
    if lower.contains("unknown runtime") || lower.contains("unknown or invalid runtime") {
        return Error::unsupported(
            "sandbox_missing",
            format!("cannot {attempt}: Docker has no runtime runsc, gVisor's"),
        )
        .with_hint("install gVisor and list it in Docker's daemon.json, or use the hardened sandbox");
    }
    if lower.contains("could not select device driver") {
        return Error::unsupported(
            "gpu_unsupported",
            format!("cannot {attempt}: Docker cannot give it a GPU"),
        )
        .with_hint("install NVIDIA's container toolkit, or ask for no GPU");
    }
    if lower.contains("no such file or directory") || lower.contains("executable file not found") {
        return Error::invalid(
            "bad_command",
            format!("cannot {attempt}: the image has no such program ({said})"),
        )
        .with_hint("correct the command, or the image's entry point");
    }
    Error::unavailable("docker_refused", format!("cannot {attempt}: Docker says: {said}"))
        .with_hint("docker info and the daemon's log say more")
}

/// A message as it may be shown: in one line, and not without end.
pub(crate) fn shown(message: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    message.trim().chars().map(plain).take(SHOWN).collect()
}
