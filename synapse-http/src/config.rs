//! Options of servers and of connections, as a program's configuration has them.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error,
    config::{Configuration, Period, Wrong},
};

use crate::{Server, client::Builder, tls::PemFiles};

/// Where a program listens, and within which limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where it listens.
    #[schemars(extend("x-flag" = "listen", "x-value" = "ADDRESS", "x-restart" = true))]
    pub listen: String,
    /// Serve without TLS on an address that other machines reach, where the network itself is private.
    #[schemars(extend("x-flag" = "allow-plain-http", "x-restart" = true))]
    pub allow_plain_http: bool,
    /// How long what is under way may go on once it is told to end.
    #[schemars(extend("x-flag" = "drain", "x-most" = "1d", "x-restart" = true))]
    pub drain: Period,
    /// Connections at once; further ones wait.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-flag" = "max-connections", "x-restart" = true))]
    pub max_connections: usize,
    /// Connections of one address; further ones are closed. As many as there are where this is left out.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-flag" = "max-connections-per-peer", "x-example" = 64, "x-restart" = true))]
    pub max_connections_per_peer: Option<usize>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            allow_plain_http: false,
            drain: Period::seconds(30),
            max_connections: 1024,
            max_connections_per_peer: None,
        }
    }
}

impl ServerConfig {
    /// The defaults, but for where it listens.
    #[must_use]
    pub fn at(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            ..Self::default()
        }
    }

    /// Says that a server without TLS would not start on an address that other machines reach.
    ///
    /// Of a host's name it is known only once it listens.
    pub fn check_plain(&self, wrong: &mut Wrong) {
        let address = self.listen.parse::<SocketAddr>();
        if !self.allow_plain_http && address.is_ok_and(|address| !address.ip().is_loopback()) {
            wrong.add(
                "listen",
                "other machines reach it, and without TLS everybody on the way could read what is said; serve with TLS, \
                 listen on 127.0.0.1, or set allow_plain_http where the network itself is private",
            );
        }
    }

    /// Listens, with these limits.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind(&self) -> Result<Server, Error> {
        let server = Server::bind(&self.listen)
            .await?
            .allow_plain_http(self.allow_plain_http)
            .drain_timeout(self.drain.get())
            .max_connections(self.max_connections);
        Ok(match self.max_connections_per_peer {
            Some(limit) => server.max_connections_per_peer(limit),
            None => server,
        })
    }
}

/// An ordinary certificate, of files: for a gateway that users reach by a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate, for TLS with its clients. What the file holds is read again with the configuration.
    #[schemars(extend("x-value" = "PEM", "x-example" = "/etc/synapse/fullchain.pem", "x-restart" = true))]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate.
    #[schemars(extend("x-value" = "PEM", "x-example" = "/etc/synapse/privkey.pem", "x-restart" = true))]
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the files, where there are any.
    ///
    /// # Errors
    /// As [`PemFiles::read`].
    pub fn files(&self) -> Result<Option<PemFiles>, Error> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => PemFiles::read(certificate, key).map(Some),
            _ => Ok(None),
        }
    }
}

/// Which addresses of others are asked, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ReachConfig {
    /// Ask miners on this machine, too.
    #[schemars(extend("x-flag" = "allow-loopback", "x-restart" = true))]
    pub allow_loopback: bool,
    /// Ask miners at private addresses, too.
    #[schemars(extend("x-flag" = "allow-private", "x-restart" = true))]
    pub allow_private: bool,
    /// Ask miners on other machines without TLS, too, where they advertise plain HTTP.
    #[schemars(extend("x-flag" = "allow-plain-miners", "x-restart" = true))]
    pub allow_plain_http: bool,
    /// How long a connection may take.
    #[schemars(extend("x-flag" = "connect-timeout", "x-least" = "100ms", "x-most" = "5m", "x-restart" = true))]
    pub connect_timeout: Period,
    /// How long a reply may be silent once it began.
    #[schemars(extend("x-flag" = "idle-timeout", "x-least" = "1s", "x-most" = "1d", "x-restart" = true))]
    pub idle_timeout: Period,
}

impl Default for ReachConfig {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            allow_private: false,
            allow_plain_http: false,
            connect_timeout: Period::seconds(5),
            idle_timeout: Period::seconds(30),
        }
    }
}

impl ReachConfig {
    /// Sets a connection up so.
    pub fn apply(&self, builder: Builder) -> Builder {
        builder
            .allow_loopback(self.allow_loopback)
            .allow_private(self.allow_private)
            .allow_plain_http(self.allow_plain_http)
            .connect_timeout(self.connect_timeout.get())
            .idle_timeout(self.idle_timeout.get())
    }
}

impl Configuration for ServerConfig {
    fn check(&self, wrong: &mut Wrong) {
        let parts = self.listen.rsplit_once(':');
        if !parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            wrong.add("listen", "it is no address; write it as HOST:PORT");
        }
    }
}

impl Configuration for TlsConfig {
    fn check(&self, wrong: &mut Wrong) {
        match (&self.certificate, &self.key) {
            (Some(_), None) => wrong.add("key", "it is missing, and there is a certificate"),
            (None, Some(_)) => wrong.add("certificate", "it is missing, and there is a key"),
            _ => {}
        }
    }
}

impl Configuration for ReachConfig {}
