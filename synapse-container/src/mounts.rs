//! Which of the machine's files a container may be shown.

use std::path::Path;

use synapse_core::Error;

/// The places of `source` and `target` as Docker takes them.
///
/// # Errors
/// `bad_mount` where the source does not exist, is no file or directory, or holds what would let a container out:
/// Docker's socket, the kernel's file systems, the devices.
pub(crate) fn checked(
    source: &Path,
    target: &Path,
    docker_socket: Option<&str>,
) -> Result<(String, String), Error> {
    let wrong = |why: &str| {
        Error::invalid(
            "bad_mount",
            format!("cannot show {} to a container: {why}", source.display()),
        )
    };
    let real = source.canonicalize().map_err(|error| {
        wrong("it cannot be found")
            .with_hint("write its full path")
            .with_source(error)
    })?;
    if !(real.is_file() || real.is_dir()) {
        return Err(wrong("it is neither a file nor a directory"));
    }
    let kernels = ["/proc", "/sys", "/dev"].map(Path::new);
    let sockets = [
        docker_socket.unwrap_or("/run/docker.sock"),
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
    ];
    let places = sockets.iter().map(|socket| {
        let socket = Path::new(socket);
        socket.canonicalize().unwrap_or_else(|_| socket.to_owned())
    });
    if kernels
        .iter()
        .any(|place| real.starts_with(place) || place.starts_with(&real))
        || places.into_iter().any(|place| place.starts_with(&real))
    {
        return Err(wrong("Docker's socket or the kernel's own files are in it")
            .with_hint("name the directory of the weights, and no other"));
    }
    let below =
        target.is_absolute() && target.components().count() > 1 && !target.starts_with("/run/synapse");
    if !below || target.components().any(|part| part.as_os_str() == "..") {
        return Err(wrong(&format!("{} is no place for it", target.display())).with_hint("such as /models"));
    }
    match (real.to_str(), target.to_str()) {
        (Some(source), Some(target)) => Ok((source.to_owned(), target.to_owned())),
        _ => Err(wrong("its name is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_let_a_container_out_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let socket = home.path().join("docker.sock");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        std::fs::create_dir(home.path().join("weights")).expect("a directory");
        std::os::unix::fs::symlink("/proc", home.path().join("innocent")).expect("a link");

        let socket_text = socket.to_str();
        let check = |source: &Path, target: &str| {
            checked(source, Path::new(target), socket_text)
                .map(|_| ())
                .map_err(|error| error.code().to_owned())
        };
        assert_eq!(check(&home.path().join("weights"), "/models"), Ok(()));
        let refused = Err("bad_mount".to_owned());
        for (source, target) in [
            (socket.clone(), "/docker.sock"),
            (home.path().to_owned(), "/models"),
            ("/".into(), "/host"),
            ("/proc/1".into(), "/models"),
            ("/dev/mem".into(), "/models"),
            (home.path().join("innocent"), "/models"),
            (home.path().join("missing"), "/models"),
            (home.path().join("weights"), "/"),
            (home.path().join("weights"), "models"),
            (home.path().join("weights"), "/run/synapse"),
            (home.path().join("weights"), "/models/../run/synapse"),
        ] {
            assert_eq!(
                check(&source, target),
                refused,
                "{} at {target}",
                source.display()
            );
        }
    }
}
