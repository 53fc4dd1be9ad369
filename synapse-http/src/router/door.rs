//! What happens to every request and reply, whatever the route.

use std::{
    any::Any,
    convert::Infallible,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use http::HeaderValue;
use synapse_core::{ClientIp, Error, RequestId};
use tower::{Layer, Service};

use super::refusal::{in_ollamas_words, refusal};
use crate::{PeerAddr, headers::REQUEST_ID, proxies::TrustedProxies};

const LONGEST_ID: usize = 128;

/// Gives each request its [`RequestId`] and its [`ClientIp`], makes of a panic a reply, and says refusals of Ollama's routes in
/// its words.
#[derive(Debug, Clone)]
pub(super) struct DoorLayer {
    pub(super) proxies: TrustedProxies,
}

impl<S> Layer<S> for DoorLayer {
    type Service = Door<S>;

    fn layer(&self, inner: S) -> Door<S> {
        Door {
            inner,
            proxies: self.proxies.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Door<S> {
    inner: S,
    proxies: TrustedProxies,
}

impl<S> Service<Request> for Door<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        let id = id_of(&request);
        let is_ollamas = request.uri().path().starts_with("/api/");
        request
            .extensions_mut()
            .insert(RequestId::from(id.to_str().unwrap_or_default()));
        say_client(&self.proxies, &mut request);
        Box::pin(async move {
            let called = catch_unwind(AssertUnwindSafe(|| ready.call(request)));
            let mut response = match called {
                Ok(answer) => guarded(answer).await?,
                Err(payload) => panicked(&*payload),
            };
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(if is_ollamas {
                in_ollamas_words(response)
            } else {
                response
            })
        })
    }
}

/// Says where it came from. Who knows no proxies leaves what was said before, as by an API around this one.
fn say_client(proxies: &TrustedProxies, request: &mut Request) {
    let is_said = request.extensions().get::<ClientIp>().is_some();
    if !(is_said && proxies.is_empty())
        && let Some(PeerAddr(peer)) = request.extensions().get()
    {
        let address = proxies.household(peer.ip(), request.headers());
        request.extensions_mut().insert(ClientIp(address));
    }
}

async fn guarded(answer: impl Future<Output = Result<Response, Infallible>>) -> Result<Response, Infallible> {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)))
            .unwrap_or_else(|payload| Poll::Ready(Ok(panicked(&*payload))))
    })
    .await
}

fn panicked(payload: &(dyn Any + Send)) -> Response {
    refusal(&Error::from_panic(payload))
}

/// The client's own id, where it is short and plain, or a new one.
fn id_of(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    match request.headers().get(REQUEST_ID) {
        Some(id) if !id.is_empty() && id.len() <= LONGEST_ID && id.as_bytes().iter().all(plain) => id.clone(),
        _ => HeaderValue::from_str(RequestId::unique().as_str())
            .expect("hexadecimal digits are a header value"),
    }
}
