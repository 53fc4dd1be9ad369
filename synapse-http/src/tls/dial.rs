//! TLS to one node, for HTTP clients of other crates.

use std::{any::Any, error::Error as StdError, sync::Arc};

use synapse_core::{Error, NodeId, WallClock};

use super::{fault, verify::expecting};

/// TLS for connections to `node` and nobody else: what reqwest's `tls_backend_preconfigured` takes, as it is.
///
/// The type is rustls's, and is not named so that its version is not part of this crate's interface; a client of another
/// version refuses it when it is built.
///
/// # Errors
/// `tls_failed` where TLS 1.3 cannot be set up.
pub fn client_config(
    node: NodeId,
    clock: Arc<dyn WallClock>,
) -> Result<impl Any + Send + Sync + use<>, Error> {
    expecting(node, clock)
}

/// Why such a connection was refused, by its code (`tls_wrong_key`, …), found in what an HTTP client made of it; `None`
/// where it failed for another reason.
#[must_use]
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<Error> {
    fault::find(error)
}
