//! Options of servers and of connections, as a program's configuration has them.

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error,
    config::{Configuration, Period, Wrong},
};

use crate::{
    Api, ApiKeysLayer, Server,
    client::Builder,
    proxies::{ForwardingHeader, Network, TrustedProxies},
    tls::PemFiles,
};

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

/// Who may ask a gateway, and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CallersConfig {
    /// The directory of API keys, which the program `api_keys` makes; what changes there counts at once. Nobody is asked for a
    /// key where this is left out.
    #[schemars(extend("x-flag" = "api-keys", "x-value" = "DIR", "x-example" = "./api-keys", "x-restart" = true))]
    pub api_keys: Option<PathBuf>,
    /// Serve on an address that other machines reach although nobody is asked for a key.
    #[schemars(extend("x-flag" = "allow-without-keys", "x-restart" = true))]
    pub allow_without_keys: bool,
    /// Proxies that are believed where they say for whom they ask; nobody is where this is left out.
    #[schemars(extend("x-value" = "NETWORK", "x-restart" = true))]
    pub trusted_proxies: Vec<String>,
    /// They say so in the header Forwarded (RFC 7239), and not in X-Forwarded-For.
    #[schemars(extend("x-restart" = true))]
    pub forwarded_header: bool,
}

impl CallersConfig {
    /// Says that a server without keys would not start where other machines reach it: on an address of theirs, or behind a
    /// proxy.
    ///
    /// Of a host's name it is known only once it listens.
    pub fn check_open(&self, server: &ServerConfig, wrong: &mut Wrong) {
        if self.api_keys.is_some() || self.allow_without_keys {
            return;
        }
        let address = server.listen.parse::<SocketAddr>();
        if address.is_ok_and(|address| !address.ip().is_loopback()) {
            wrong.add(
                "api_keys",
                "it is missing, and other machines reach the gateway; name a directory of keys, listen on 127.0.0.1, or set \
                 allow_without_keys where everybody may use it",
            );
        } else if !self.trusted_proxies.is_empty() {
            wrong.add(
                "api_keys",
                "it is missing, and others reach the gateway through its trusted_proxies; name a directory of keys, or set \
                 allow_without_keys where everybody may use it",
            );
        }
    }

    /// Asks for keys, and believes these proxies. Routes that are added to the API later need no key.
    ///
    /// # Errors
    /// As [`ApiKeysLayer::open`], and `invalid_network`.
    pub fn apply(&self, api: Api) -> Result<Api, Error> {
        let api = api.trusted_proxies(self.proxies()?);
        Ok(match &self.api_keys {
            Some(directory) => api.layer(ApiKeysLayer::open(directory)?),
            None => api,
        })
    }

    fn proxies(&self) -> Result<TrustedProxies, Error> {
        let networks: Result<Vec<Network>, Error> = self
            .trusted_proxies
            .iter()
            .map(|network| network.parse())
            .collect();
        let header = match self.forwarded_header {
            true => ForwardingHeader::Forwarded,
            false => ForwardingHeader::XForwardedFor,
        };
        Ok(TrustedProxies::new(networks?).header(header))
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

impl Configuration for CallersConfig {
    fn check(&self, wrong: &mut Wrong) {
        for network in &self.trusted_proxies {
            if let Err(error) = network.parse::<Network>() {
                wrong.add("trusted_proxies", error.to_string());
            }
        }
        if self.forwarded_header && self.trusted_proxies.is_empty() {
            wrong.add(
                "forwarded_header",
                "there are no trusted_proxies that would write it",
            );
        }
        if self.allow_without_keys && self.api_keys.is_some() {
            wrong.add(
                "allow_without_keys",
                "there are api_keys, so that nobody comes in without",
            );
        }
    }
}

impl Configuration for ReachConfig {}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use synapse_core::{
        config::{Loaded, Loader},
        testkit::Echo,
    };

    use super::*;

    fn callers(variables: &[(&str, &str)]) -> Result<CallersConfig, String> {
        let variables: Vec<(OsString, OsString)> = variables
            .iter()
            .map(|(name, value)| (format!("SYNAPSE_{name}").into(), value.into()))
            .collect();
        let loaded = Loader::<CallersConfig>::new().environment(variables).load();
        loaded.map(Loaded::into_value).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (variables, key, says) in [
            (
                &[("TRUSTED_PROXIES", "10.0.0.0/8, localhost")][..],
                "trusted_proxies",
                "localhost",
            ),
            (
                &[("FORWARDED_HEADER", "true")],
                "forwarded_header",
                "no trusted_proxies",
            ),
            (
                &[("API_KEYS", "./api-keys"), ("ALLOW_WITHOUT_KEYS", "true")],
                "allow_without_keys",
                "nobody comes in without",
            ),
        ] {
            let wrong = callers(variables).unwrap_err();
            assert!(wrong.contains(key) && wrong.contains(says), "{wrong}");
        }
    }

    #[test]
    fn what_can_be_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("api-keys");
        let asks = [
            ("API_KEYS", place.to_str().unwrap()),
            ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ];
        let api = callers(&asks).unwrap().apply(crate::router(Echo::new())).unwrap();
        assert!(!api.is_open() && place.join("keys.json").is_file());
        let api = callers(&[]).unwrap().apply(crate::router(Echo::new())).unwrap();
        assert!(api.is_open());
    }
}
