//! Connections to one endpoint.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use reqwest::{Client, Request, Response, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use synapse_core::{Endpoint, Error};
use tokio::time::timeout;

use super::builder::Settings;

/// How long an idle connection is kept: less than servers usually do, so that few requests meet one that is closing.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Connections to one endpoint: pooled, without redirects, proxies of the environment, or decompression.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    /// The address without a trailing slash, and without `/v1`.
    base: String,
    authorization: Option<HeaderValue>,
}

impl Transport {
    pub(super) fn new(
        url: &str,
        authorization: Option<HeaderValue>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let base = Endpoint::http(url)?.to_string();
        let base = base.strip_suffix("/v1").unwrap_or(&base).to_owned();
        let client = Client::builder()
            .tls_backend_preconfigured(tls(base.starts_with("https:"))?)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(settings.idle_per_host)
            .user_agent(concat!("synapse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Error::internal("client_failed", "an HTTP client could not be made").with_source(error)
            })?;
        Ok(Self {
            client,
            base,
            authorization,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A request for `path`, with the key where there is one.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<Request, Error> {
        let bad_path = || {
            Error::invalid("bad_path", format!("the path {path:?} is no path"))
                .with_hint("begin it with a slash")
        };
        // Anything else would go on with the address: `@elsewhere/` makes a user's name of our host.
        if !path.starts_with('/') {
            return Err(bad_path());
        }
        let url = format!("{}{path}", self.base);
        let url = Url::parse(&url).map_err(|error| bad_path().with_source(error))?;
        let mut request = Request::new(method, url);
        if let Some(authorization) = &self.authorization {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    /// Sends `request` to `whom`, as errors call it: the operator who set the address up may read it, and a client who
    /// asks through a gateway may not.
    pub(super) async fn send(&self, request: Request, whom: &str) -> Result<Response, Error> {
        self.client.execute(request).await.map_err(|error| {
            let error = error.without_url();
            let (code, message) = if error.is_connect() {
                ("connect_failed", format!("no connection to {whom}"))
            } else {
                (
                    "no_reply",
                    format!("{whom} closed the connection without a reply"),
                )
            };
            Error::unavailable(code, message)
                .with_hint("check that the server runs and that its address is right")
                .with_source(error)
        })
    }

    /// A small document: status and body, within `limit`.
    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<(http::StatusCode, Bytes), Error> {
        /// A list of a thousand models with all that servers say of them fits.
        const LONGEST: usize = 4 << 20;
        let late = || {
            Error::new(
                synapse_core::ErrorKind::Timeout,
                "head_timeout",
                format!("{}{path} did not answer within {limit:?}", self.base),
            )
        };
        let request = self.request(Method::GET, path)?;
        let answer = async {
            let response = self.send(request, &self.base).await?;
            Ok((response.status(), collect(response, LONGEST).await?))
        };
        timeout(limit, answer).await.map_err(|_| late())?
    }
}

/// A body that must not be longer than `longest` bytes.
pub(super) async fn collect(mut response: Response, longest: usize) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(read) = response.chunk().await.map_err(|error| {
        Error::broken("connection_cut", "the connection broke within a reply")
            .with_source(error.without_url())
    })? {
        if body.len() + read.len() > longest {
            return Err(Error::broken(
                "reply_too_large",
                format!("a reply is longer than {longest} bytes"),
            ));
        }
        body.extend_from_slice(&read);
    }
    Ok(body.freeze())
}

/// TLS of our own choice: ring for the arithmetic, the machine's certificate store for trust, nothing process-wide. An
/// endpoint without TLS trusts nobody, and needs no store.
fn tls(needed: bool) -> Result<ClientConfig, Error> {
    let failed = |error: rustls::Error| {
        Error::unavailable("tls_failed", "TLS could not be set up")
            .with_hint("install the package ca-certificates")
            .with_source(error)
    };
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    Ok(match needed {
        true => versions
            .with_platform_verifier()
            .map_err(failed)?
            .with_no_client_auth(),
        false => versions
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    })
}
