//! What a server has beside inference.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use reqwest::Request;
use serde_json::Value;
use synapse_core::{Error, ErrorKind};
use tokio::time::timeout;

use super::{OpenAiModule, call, transport::collect};

/// The longest answer, in bytes: a long prompt's tokens with their texts, or a page of metrics.
const LONGEST: usize = 16 << 20;

impl OpenAiModule {
    /// Asks the server for a page of its own, such as `/props` or `/metrics`, over the same connections and with the same
    /// key as its inference. The answer may have 16 MiB, and come within `limit`.
    ///
    /// # Errors
    /// As [`run_inference`](synapse_core::InferenceModule::run_inference) of a server that cannot be reached or refuses;
    /// what it replied is the error's [`Upstream`](super::Upstream).
    pub async fn get(&self, path: &str, limit: Duration) -> Result<Bytes, Error> {
        let request = self.0.transport.request(Method::GET, path)?;
        self.ask(request, path, limit).await
    }

    /// Sends the server a JSON body at a path of its own, such as `/tokenize`; otherwise as [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, body: &Value, limit: Duration) -> Result<Bytes, Error> {
        let mut request = self.0.transport.request(Method::POST, path)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        *request.body_mut() = Some(body.to_string().into());
        self.ask(request, path, limit).await
    }

    async fn ask(&self, request: Request, path: &str, limit: Duration) -> Result<Bytes, Error> {
        let base = self.0.transport.base();
        let answer = async {
            let response = self.0.transport.send(request, base).await?;
            if !response.status().is_success() {
                return Err(call::refused(response).await);
            }
            collect(response, LONGEST).await
        };
        timeout(limit, answer).await.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "head_timeout",
                format!("{base}{path} did not answer within {limit:?}"),
            )
        })?
    }
}
