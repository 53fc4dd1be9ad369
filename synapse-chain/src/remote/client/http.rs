//! Requests to one chain.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use reqwest::{Client, ClientBuilder, Response, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde::de::DeserializeOwned;
use synapse_core::{Endpoint, Error, ErrorKind, SystemClock};
use synapse_http::tls;
use tokio::time::timeout;

use super::builder::Trust;
use crate::{
    ChainId,
    remote::{CHAIN_HEADER, problem},
};

/// The longest document that is read: a directory of thousands of members fits.
const LONGEST_DOCUMENT: usize = 16 << 20;

/// Connections to one chain: without redirects, proxies of the environment, or repetitions of their own.
#[derive(Clone)]
pub(super) struct Http {
    client: Client,
    base: String,
    /// How long a chain may be silent before it is given up: with a connection, a head, a body.
    patience: Duration,
}

/// A reply's status, and the chain that sent it.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) chain: Option<ChainId>,
    pub(super) body: Bytes,
}

impl Http {
    pub(super) fn new(url: &str, trust: &Trust, patience: Duration) -> Result<Self, Error> {
        let base = Endpoint::http(url)?.to_string();
        let client = trust
            .client(&base)?
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(patience)
            .user_agent(concat!("synapse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Error::internal("client_failed", "an HTTP client could not be made").with_source(error)
            })?;
        Ok(Self {
            client,
            base,
            patience,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What the chain says when it is asked for a document.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Error> {
        self.whole(self.client.get(self.url(path))).await
    }

    /// What the chain says to `body`.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Reply, Error> {
        let request = self
            .client
            .post(self.url(path))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body);
        self.whole(request).await
    }

    /// A reply that goes on, once its head is there; or one that failed.
    pub(super) async fn stream(&self, path: &str) -> Result<Result<Response, Reply>, Error> {
        let sent = timeout(self.patience, self.client.get(self.url(path)).send());
        let response = sent
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| self.lost(error))?;
        if response.status().is_success() {
            return Ok(Ok(response));
        }
        let read = timeout(self.patience, self.reply(response)).await;
        read.map_err(|_| self.silent())?.map(Err)
    }

    async fn whole(&self, request: reqwest::RequestBuilder) -> Result<Reply, Error> {
        let answer = async {
            let response = request.send().await.map_err(|error| self.lost(error))?;
            self.reply(response).await
        };
        timeout(self.patience, answer).await.map_err(|_| self.silent())?
    }

    async fn reply(&self, response: Response) -> Result<Reply, Error> {
        Ok(Reply {
            status: response.status(),
            chain: chain(&response),
            body: self.collect(response).await?,
        })
    }

    async fn collect(&self, mut response: Response) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(read) = response.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + read.len() > LONGEST_DOCUMENT {
                return Err(Error::broken(
                    "reply_too_large",
                    format!("a reply of {} is longer than {LONGEST_DOCUMENT} bytes", self.base),
                ));
            }
            body.extend_from_slice(&read);
        }
        Ok(body.freeze())
    }

    pub(super) fn silent(&self) -> Error {
        Error::new(
            ErrorKind::Timeout,
            "chain_silent",
            format!("the chain at {} said nothing for {:?}", self.base, self.patience),
        )
    }

    pub(super) fn lost(&self, error: reqwest::Error) -> Error {
        if let Some(refused) = tls::refusal(&error) {
            return refused;
        }
        let (code, what) = if error.is_connect() {
            (
                "chain_unreachable",
                format!("no connection to the chain at {}", self.base),
            )
        } else {
            (
                "connection_cut",
                format!("the connection to the chain at {} broke", self.base),
            )
        };
        Error::unavailable(code, what)
            .with_hint("check that the chain runs and that its address is right")
            .with_source(error.without_url())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Reply {
    /// What a reply that failed says.
    pub(super) fn refusal(&self) -> Error {
        problem::read(self.status, &self.body)
    }

    /// What a reply that succeeded says.
    pub(super) fn document<T: DeserializeOwned>(&self, from: &str) -> Result<T, Error> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::broken(
                "not_a_chain",
                format!("{from} does not answer as a chain of this version does"),
            )
            .with_hint("check that the address is a chain's")
            .with_source(error)
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("base", &self.base)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Which chain says that it answers.
fn chain(response: &Response) -> Option<ChainId> {
    let id = response.headers().get(CHAIN_HEADER)?.to_str().ok()?;
    Some(ChainId::new(id))
}

impl Trust {
    /// A client that speaks with nobody but whom this trusts at `base`.
    fn client(&self, base: &str) -> Result<ClientBuilder, Error> {
        let builder = Client::builder();
        match (base.starts_with("https:"), &self.server_key) {
            (true, Some(key)) => Ok(builder
                .https_only(true)
                .tls_backend_preconfigured(tls::client_config(key.clone(), Arc::new(SystemClock))?)),
            (true, None) => Err(Error::invalid(
                "chain_key_missing",
                format!("whether {base} is the chain cannot be told without the key that vouches for it"),
            )
            .with_hint("name the key that the chain says it serves with")),
            (false, Some(key)) => Err(Error::invalid(
                "key_without_tls",
                format!("{key} is expected of {base}, and plain HTTP shows no key"),
            )
            .with_hint("write the chain's address with https, or leave the key away")),
            (false, None) if self.plain_http || is_loopback(base) => {
                Ok(builder.tls_backend_preconfigured(nobody()?))
            }
            (false, None) => Err(Error::invalid(
                "plain_http_refused",
                format!("{base} is another machine, and whoever is on the way could answer for the chain"),
            )
            .with_hint(
                "serve the chain over https and name its key, or allow plain HTTP within a private network",
            )),
        }
    }
}

/// Whether an address is of this machine, whatever a resolver says.
fn is_loopback(base: &str) -> bool {
    let Ok(url) = Url::parse(base) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// TLS that trusts nobody, for connections that have none.
fn nobody() -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::unavailable("tls_failed", "TLS could not be set up").with_source(error))?;
    Ok(config
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
