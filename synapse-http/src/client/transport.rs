//! Connections to one endpoint.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Request, Response, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use synapse_core::{Endpoint, Error, ErrorKind};
use tokio::time::timeout;

use super::{builder::Settings, sign::Outgoing, vet};
use crate::tls;

/// How long an idle connection is kept: less than servers usually do, so that few requests meet one that is closing.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// When a peer's machine is asked whether a connection still stands, and how long it may take to say so, twice: one that
/// is gone, or started again and knows nothing of it, is noticed within 20 s of silence. (One whose process is frozen
/// answers that all the same; it is the pool that notices.)
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Connections to one endpoint: pooled, without redirects, proxies of the environment, or decompression.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    /// The address without a trailing slash, and without `/v1`.
    base: String,
    authorization: Option<HeaderValue>,
    /// Whether the other end is a subnet's member, of a key that is expected.
    member: bool,
    signing: Option<Outgoing>,
}

impl Transport {
    pub(super) fn new(
        url: &str,
        authorization: Option<HeaderValue>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let base = Endpoint::http(url)?.to_string();
        let base = base.strip_suffix("/v1").unwrap_or(&base).to_owned();
        let https = base.starts_with("https:");
        let trust = match &settings.node_key {
            Some(node) if https => tls::expecting(node.clone(), settings.clock.clone())?,
            _ => authorities(https)?,
        };
        let builder = Client::builder()
            .tls_backend_preconfigured(trust)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(settings.connect_timeout)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
            .tcp_keepalive_retries(2)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(settings.idle_per_host)
            .user_agent(concat!("synapse/", env!("CARGO_PKG_VERSION")));
        // There it decides instead of the number of retries.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(KEEPALIVE + 2 * KEEPALIVE_INTERVAL);
        let listed = settings.node_key.as_ref().or(settings.listed.as_ref());
        let builder = match listed {
            Some(node) => {
                settings.reach.check(node, &base)?;
                // Never anything else, whatever an address says later.
                builder
                    .https_only(https)
                    .dns_resolver(settings.reach.resolver(&base))
            }
            None => builder,
        };
        #[cfg(unix)]
        let builder = match &settings.unix_socket {
            Some(path) => builder.unix_socket(path.as_path()),
            None => builder,
        };
        let client = builder.build().map_err(|error| {
            Error::internal("client_failed", "an HTTP client could not be made").with_source(error)
        })?;
        Ok(Self {
            client,
            base,
            authorization,
            member: listed.is_some(),
            signing: settings.signing.clone(),
        })
    }

    /// The same connections for requests that are signed so.
    pub(super) fn signed(&self, outgoing: Outgoing) -> Self {
        Self {
            signing: Some(outgoing),
            ..self.clone()
        }
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
    ///
    /// Where requests are signed, this one is as it is now, and a refusal of its signature is an error.
    pub(super) async fn send(&self, mut request: Request, whom: &str) -> Result<Response, Error> {
        let Some(signing) = &self.signing else {
            return self.exchange(request, whom).await;
        };
        let signed_at = signing.sign(&mut request).await?;
        let response = self.exchange(request, whom).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(signing.refused(response, signed_at).await),
            _ => Ok(response),
        }
    }

    async fn exchange(&self, request: Request, whom: &str) -> Result<Response, Error> {
        self.client.execute(request).await.map_err(|error| {
            let error = error.without_url();
            if self.member
                && let Some(refused) = vet::find(&error, whom).or_else(|| tls::find(&error))
            {
                return refused;
            }
            if unreachable(&error) {
                let message = format!("{whom} cannot be reached: nothing at its address answers");
                return Error::new(ErrorKind::Timeout, "unreachable", message)
                    .with_hint(
                        "check that the machine runs, and that its address and the network between are right",
                    )
                    .with_source(error);
            }
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
                ErrorKind::Timeout,
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

/// Whether nothing came back at all, as from a machine that is gone. One that refuses or cuts a connection is there.
fn unreachable(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    error.is_timeout()
        || causes
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
                )
            })
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
fn authorities(needed: bool) -> Result<ClientConfig, Error> {
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
