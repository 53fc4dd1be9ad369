//! The Unix socket over which a container is talked to, in a directory that it may write.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{self, FileType, Mode, OFlags};
use synapse_core::Error;

use crate::hardened::UID;

/// Where the directory is, within the container.
pub(crate) const DIRECTORY: &str = "/run/synapse";
/// Where a module listens, within the container; `SYNAPSE_SOCKET` says it, too.
pub const SOCKET: &str = "/run/synapse/module.sock";
const NAME: &str = "module.sock";

/// A container's socket, held fast: whatever the container puts at its place later, a link to a socket of the machine's
/// such as Docker's own among it, is not what is connected to.
#[derive(Debug)]
pub struct ModuleSocket(OwnedFd);

impl ModuleSocket {
    /// The socket in `directory`; `None` where there is none yet.
    ///
    /// # Errors
    /// `not_a_socket` where something else is there, or where it is not the container's own; `socket_unreadable` where
    /// this process may not look.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(NAME);
        let opened = fs::open(
            &path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let unreadable = |error: rustix::io::Errno| {
            Error::unavailable(
                "socket_unreadable",
                format!("cannot look for a container's socket in {}", directory.display()),
            )
            .with_hint("this process must be able to read Docker's volumes on this machine: run it as root")
            .with_source(error)
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let found = fs::fstat(&socket).map_err(unreadable)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket || found.st_uid != UID {
            return Err(Error::broken(
                "not_a_socket",
                format!("the container put something else than its socket at {SOCKET}"),
            )
            .with_hint("do not run this image: a module listens there itself and leaves no links"));
        }
        Ok(Some(Self(socket)))
    }

    /// A path by which it is connected to, for as long as this lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::{
            fs::{chown, symlink},
            net::{UnixListener, UnixStream},
        },
    };

    use super::*;

    #[test]
    fn what_replaces_the_socket_is_not_connected_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().join(NAME);
        assert!(
            ModuleSocket::open(directory.path())
                .expect("it may look")
                .is_none()
        );

        let elsewhere = directory.path().join("docker.sock");
        let host = UnixListener::bind(&elsewhere).expect("a socket");
        symlink(&elsewhere, &at).expect("a link");
        let refused = ModuleSocket::open(directory.path()).expect_err("a link");
        assert_eq!(refused.code(), "not_a_socket");
        std::fs::remove_file(&at).expect("it was there");
        std::fs::write(&at, "a file").expect("a file");
        let refused = ModuleSocket::open(directory.path()).expect_err("a file");
        assert_eq!(refused.code(), "not_a_socket");
        std::fs::remove_file(&at).expect("it was there");

        let module = UnixListener::bind(&at).expect("a socket");
        if chown(&at, Some(UID), Some(UID)).is_err() {
            // Only root can give it to the container's user.
            let refused = ModuleSocket::open(directory.path()).expect_err("somebody else's");
            assert_eq!(refused.code(), "not_a_socket");
            return;
        }
        let pinned = ModuleSocket::open(directory.path())
            .expect("it is the container's")
            .expect("it is there");
        std::fs::remove_file(&at).expect("it was there");
        symlink(&elsewhere, &at).expect("a link");
        let mut client = UnixStream::connect(pinned.path()).expect("the module listens");
        drop(module.accept().expect("it was the module's"));
        drop(module);
        assert_eq!(client.read(&mut [0; 1]).expect("it closed"), 0);
        UnixStream::connect(pinned.path()).expect_err("nobody else answers");
        host.set_nonblocking(true).expect("a socket");
        host.accept().expect_err("nobody came here");
    }
}
