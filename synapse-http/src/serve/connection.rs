//! One connection, from its accept to its last byte.

use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr, sync::Arc};

use http::{HeaderValue, Method, Request, Response, Version, header};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tower::Service;

use super::{
    activity::{Activity, Watchdog},
    body::{Paced, Watched},
    limits::{DEFAULT_HEADERS, Limits},
    socket::Socket,
    wire::Wire,
};

/// hyper's buffers for one connection, at least.
const BUFFER: usize = 64 * 1024;

/// The address that a request came from, as an extension of the HTTP request.
///
/// It is the other end of the TCP connection: behind a proxy it is the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// Serves one connection until either side ends it. Once `draining` says so, the request under way is the last.
pub(super) async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
    limits: Arc<Limits>,
    tls: Option<Arc<ServerConfig>>,
    mut draining: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    let activity = Arc::new(Activity::new(&limits));
    let wire = Wire::new(stream, activity.clone());
    let socket = match tls {
        None => Socket::plain(wire, activity.clone()),
        Some(tls) => {
            let shaking_hands = Socket::tls(wire, activity.clone(), tls);
            match in_time(shaking_hands, &activity, &limits, &mut draining).await {
                Ok(socket) => socket,
                Err(why) => return tracing::debug!(%peer, %why, "no TLS connection came about"),
            }
        }
    };
    let socket = TokioIo::new(socket);
    let (for_calls, pace) = (activity.clone(), limits.body);
    let service =
        service_fn(move |request| Box::pin(answer(request, peer, router.clone(), for_calls.clone(), pace)));

    let mut http = http1(&limits).serve_connection(socket, service);
    let mut watchdog = Watchdog::new(activity.clone());
    let mut told = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| http.poll_without_shutdown(cx)) => break Ok(ended),
            expired = &mut watchdog => break Err(expired),
            _ = draining.wait_for(|draining| *draining), if !told => {
                told = true;
                Pin::new(&mut http).graceful_shutdown();
            }
        }
    };
    let socket = http.into_parts().io.into_inner();
    match ended {
        Err(expired) => {
            tracing::debug!(%peer, "a connection was closed: {expired}");
            socket.abort();
        }
        Ok(_) if activity.would_look_complete() => drop(socket),
        Ok(ended) => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection broke");
            }
            socket.close().await;
        }
    }
}

/// A handshake, no longer than a head may take, and only as long as connections are wanted.
async fn in_time(
    shaking_hands: impl Future<Output = io::Result<Socket>>,
    activity: &Activity,
    limits: &Limits,
    draining: &mut watch::Receiver<bool>,
) -> io::Result<Socket> {
    let late = sleep(limits.header);
    tokio::pin!(shaking_hands, late);
    tokio::select! {
        biased;
        _ = draining.wait_for(|draining| *draining) => Err(io::Error::other("the server stops")),
        shaken = &mut shaking_hands => shaken,
        () = late => {
            activity.give_up();
            Err(io::Error::other("it took too long"))
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    mut router: axum::Router,
    activity: Arc<Activity>,
    pace: std::time::Duration,
) -> Result<Response<Watched>, Infallible> {
    let until_close = request.version() == Version::HTTP_10 && request.method() != Method::HEAD;
    activity.request_began(!request.body().is_end_stream(), until_close);
    let mut request = request.map(|body| axum::body::Body::new(Paced::new(body, activity.clone(), pace)));
    request.extensions_mut().insert(PeerAddr(peer));
    let mut response = router.call(request).await?;
    if activity.is_uploading() {
        // A body that nobody read: hyper would skip a short one, and take what follows it for the next head.
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Watched::new(body, activity)))
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Times are the watchdog's: hyper's header timer would run through idle times too.
    http.header_read_timeout(None)
        .max_buf_size(BUFFER.max(limits.header_bytes))
        .max_header_size(limits.header_bytes);
    if limits.headers != DEFAULT_HEADERS {
        http.max_headers(limits.headers);
    }
    http
}
