//! What is served to other machines only where an operator says so.

use std::net::SocketAddr;

use synapse_core::Error;

use crate::Api;

/// What an operator said of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exposure {
    /// Whether plain HTTP is fine; it depends on the API where this is not said.
    pub(super) plain_http: Option<bool>,
    /// Whether an API is fine that anybody may ask.
    pub(super) without_keys: bool,
}

impl Exposure {
    /// # Errors
    /// `plain_http_refused`, `keys_missing`.
    pub(super) fn check(self, address: SocketAddr, has_tls: bool, api: &Api) -> Result<(), Error> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        let plain_http = self.plain_http.unwrap_or(!api.demands_signatures());
        if !plain_http && !has_tls {
            return Err(Error::invalid(
                "plain_http_refused",
                format!(
                    "an API would be served on {address} without TLS, and everybody on the way could read it"
                ),
            )
            .with_hint(
                "serve with TLS, bind 127.0.0.1, or allow plain HTTP where the network itself is private",
            ));
        }
        if !self.without_keys && api.is_open() {
            return Err(Error::invalid(
                "keys_missing",
                format!("an API that asks for no keys would be served on {address}, and whoever reaches that could use it"),
            )
            .with_hint("ask for API keys, bind 127.0.0.1, or allow it without keys where everybody may use it"));
        }
        Ok(())
    }
}
