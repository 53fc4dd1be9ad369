//! Connections to Ollama for everything but inference.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use reqwest::{Body, Client, Response, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use synapse_core::{Endpoint, Error, ErrorKind};
use tokio::time::timeout;

use super::error;

/// The longest document, in bytes: a model's licence and template are in one.
const LONGEST: usize = 8 << 20;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Connections to one Ollama: without redirects, or proxies of the environment.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    base: String,
}

impl Transport {
    pub(super) fn new(url: &str) -> Result<Self, Error> {
        let base = Endpoint::http(url)?.to_string();
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        let client = Client::builder()
            .tls_backend_preconfigured(authorities(base.starts_with("https:"))?)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(4)
            .user_agent(concat!("synapse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Error::internal("client_failed", "an HTTP client could not be made").with_source(error)
            })?;
        Ok(Self { client, base })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The document at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, Error> {
        let (status, body) = self.exchange(Method::GET, path, Body::default(), limit).await?;
        self.read(path, status, &body, None)
    }

    /// What Ollama answers to `document`, which is about `model`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        document: &(impl Serialize + Sync),
        model: &str,
        limit: Duration,
    ) -> Result<T, Error> {
        let (status, body) = self.exchange(method, path, written(document), limit).await?;
        self.read(path, status, &body, Some(model))
    }

    /// The status and the body of whatever it says.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Body,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Error> {
        let answer = async {
            let response = self.send(method, path, body).await?;
            Ok((response.status(), collect(response).await?))
        };
        timeout(limit, answer)
            .await
            .map_err(|_elapsed| self.late(path, limit))?
    }

    /// The head of what it answers with `body`, whose rest is read as it comes.
    pub(super) async fn send(&self, method: Method, path: &str, body: Body) -> Result<Response, Error> {
        let url = format!("{}{path}", self.base);
        let url = Url::parse(&url).map_err(|error| {
            Error::invalid("bad_path", format!("the path {path:?} is no path")).with_source(error)
        })?;
        let request = self
            .client
            .request(method, url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        request.send().await.map_err(|error| {
            Error::unavailable(
                "ollama_unreachable",
                format!("Ollama does not answer at {}", self.base),
            )
            .with_hint(
                "start it with `ollama serve`, or correct the address: OLLAMA_HOST is where it listens",
            )
            .with_source(error.without_url())
        })
    }

    pub(super) fn late(&self, path: &str, limit: Duration) -> Error {
        Error::new(
            ErrorKind::Timeout,
            "ollama_silent",
            format!("{}{path} did not answer within {limit:?}", self.base),
        )
        .with_hint("Ollama may be frozen or its machine overloaded: look at its log, and start it again")
    }

    fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        status: StatusCode,
        body: &[u8],
        model: Option<&str>,
    ) -> Result<T, Error> {
        if !status.is_success() {
            return Err(error::of_reply(status, body, model));
        }
        // Some of its answers are empty, which says `null`.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|error| self.not_ollama(path).with_source(error))
    }

    /// Whoever answers there, it is not Ollama.
    pub(super) fn not_ollama(&self, path: &str) -> Error {
        Error::unavailable(
            "not_ollama",
            format!("{} is not Ollama: it does not answer {path} as Ollama does", self.base),
        )
        .with_hint(
            "give Ollama's own address, by default http://127.0.0.1:11434; an OpenAI-compatible server is an OpenAiModule",
        )
    }
}

/// A document as a body.
pub(super) fn written(document: &impl Serialize) -> Body {
    serde_json::to_vec(document)
        .expect("our own documents have string keys")
        .into()
}

/// A body within the limit, or why it could not be read.
pub(super) async fn collect(mut response: Response) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(read) = response.chunk().await.map_err(cut)? {
        if body.len() + read.len() > LONGEST {
            return Err(Error::broken(
                "reply_too_large",
                format!("Ollama's answer is longer than {LONGEST} bytes"),
            ));
        }
        body.extend_from_slice(&read);
    }
    Ok(body.freeze())
}

/// Ollama went away within an answer.
pub(super) fn cut(error: reqwest::Error) -> Error {
    Error::broken(
        "connection_cut",
        "the connection to Ollama broke within its answer",
    )
    .with_hint("look at Ollama's log: it was stopped, or crashed")
    .with_source(error.without_url())
}

/// What an answer says as its error, in Ollama's format or OpenAI's.
pub(super) fn said(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    let text = error.as_str().or_else(|| error.get("message")?.as_str())?;
    Some(
        text.chars()
            .filter(|char| !char.is_control())
            .take(1024)
            .collect(),
    )
}

/// The machine's certificate store for trust, where there is TLS; nothing process-wide.
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
