//! Taking a port, or saying why not.

use std::io;

use synapse_core::{Error, ErrorKind};
use tokio::net::TcpListener;

/// Listens on `address`: `127.0.0.1:8080`, `[::]:8080`, `localhost:0`.
pub(super) async fn listen(address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| refused(address, error))
}

fn refused(address: &str, error: io::Error) -> Error {
    let attempt = format!("cannot listen on {address}");
    let says = |what: &str| format!("{attempt}: {what}");
    let refused = match error.kind() {
        io::ErrorKind::AddrInUse => Error::unavailable("address_in_use", says("the port is in use"))
            .with_hint("stop the program that uses it, or choose another port (0 lets the system choose)"),
        io::ErrorKind::PermissionDenied => Error::new(
            ErrorKind::Forbidden,
            "permission_denied",
            says("permission denied"),
        )
        .with_hint("ports below 1024 need privileges; choose a higher one"),
        io::ErrorKind::AddrNotAvailable => Error::invalid(
            "address_not_available",
            says("this machine does not have that address"),
        )
        .with_hint("0.0.0.0 listens on every address, 127.0.0.1 on this machine's own"),
        _ if address.parse::<std::net::SocketAddr>().is_err() => Error::invalid(
            "bad_address",
            says("it is not an address and a port, or its name is unknown"),
        )
        .with_hint("write it as 127.0.0.1:8080"),
        _ => Error::internal("listen_failed", attempt),
    };
    refused.with_source(error)
}
