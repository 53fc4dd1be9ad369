//! Whether a node can be reached where validators are told to ask it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use synapse_core::{Endpoint, Error};
use tokio::{net::TcpStream, time::timeout};

/// The longest try.
const LONGEST: Duration = Duration::from_secs(5);

/// How a node tries whether it can be reached.
pub(super) type Reach =
    Arc<dyn Fn(Endpoint) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Send + Sync>;

/// Whether something listens there, seen from this machine. That it does not may be the fault of a network that does not
/// lead a node back to itself.
pub(super) fn by_connecting() -> Reach {
    Arc::new(|endpoint| Box::pin(connect(endpoint)))
}

async fn connect(endpoint: Endpoint) -> Result<(), Error> {
    let Endpoint::Http(uri) = &endpoint else {
        return Ok(());
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::unavailable(
            "endpoint_unreachable",
            format!("{endpoint} cannot be reached from this machine"),
        )
        .with_hint(
            "check the address, the port's forwarding and the firewall; some networks lead no node back to itself, and then \
             others reach it all the same",
        )
        .with_source(error)
    };
    match timeout(LONGEST, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(error.into())),
        Err(late) => Err(failed(late.into())),
    }
}
