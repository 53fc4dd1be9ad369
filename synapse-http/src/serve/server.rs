//! The server, and the order in which a module lives.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use synapse_core::{Error, ErrorKind};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    accept::Acceptor,
    bind::listen,
    connection::connection,
    exposure::Exposure,
    limits::Limits,
    stop::{Signals, Stop},
};
use crate::{Api, router::Lifecycle, tls::ServerTls};

/// A server that listens already, and the limits it will serve with.
///
/// | limit | default | what it bounds |
/// | --- | --- | --- |
/// | [`header_timeout`](Self::header_timeout) | 10 s | a request's head, from its first byte (of a new connection: from its accept, the TLS handshake included) |
/// | [`idle_timeout`](Self::idle_timeout) | 60 s | a connection between requests |
/// | [`body_timeout`](Self::body_timeout) | 10 s | a pause in a request's body; after it, at least 1 KiB/s over all |
/// | [`write_timeout`](Self::write_timeout) | 30 s | a client that takes less than 4 KiB of what waits for it |
/// | [`max_connections`](Self::max_connections) | 1024 | connections at once; further ones wait in the kernel's backlog |
/// | [`max_connections_per_peer`](Self::max_connections_per_peer) | none | connections of one address; further ones are closed |
/// | [`max_header_bytes`](Self::max_header_bytes) | 32 KiB | a request's head |
/// | [`max_headers`](Self::max_headers) | 100 | headers of a request |
/// | [`drain_timeout`](Self::drain_timeout) | 30 s | the wait for replies under way, once it was told to stop |
/// | [`shutdown_timeout`](Self::shutdown_timeout) | 30 s | the module's own shutdown |
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use synapse_core::testkit::Echo;
/// use synapse_http::Server;
///
/// let server = Server::bind("127.0.0.1:0")
///     .await?
///     .max_connections(256)
///     .shutdown(tokio::time::sleep(Duration::from_millis(10)));
/// println!("listening on http://{}", server.local_addr());
/// server.serve(synapse_http::router(Echo::new())).await?;
/// # Ok::<(), synapse_core::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<ServerTls>,
    exposure: Exposure,
    stop: Option<Stop>,
    on_ready: Option<Box<dyn FnOnce(SocketAddr) + Send>>,
    on_draining: Option<Box<dyn FnOnce() + Send>>,
}

impl Server {
    /// Listens on `address`, such as `127.0.0.1:8080`; port 0 lets the system choose.
    ///
    /// # Errors
    /// With the code `address_in_use`, `permission_denied`, `address_not_available` or `bad_address`.
    pub async fn bind(address: impl fmt::Display) -> Result<Self, Error> {
        Self::new(listen(&address.to_string()).await?)
    }

    /// Takes over a socket that listens already, such as one a service manager hands in.
    ///
    /// # Errors
    /// Where the socket does not listen.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_listener(listener: std::net::TcpListener) -> Result<Self, Error> {
        let taken = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener));
        Self::new(taken.map_err(not_listening)?)
    }

    fn new(listener: TcpListener) -> Result<Self, Error> {
        Ok(Self {
            address: listener.local_addr().map_err(not_listening)?,
            listener,
            limits: Limits::default(),
            tls: None,
            exposure: Exposure::default(),
            stop: None,
            on_ready: None,
            on_draining: None,
        })
    }

    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves TLS: a node's own ([`NodeTls`](crate::tls::NodeTls)), which it renews while it serves, or an ordinary
    /// certificate of files ([`PemFiles`](crate::tls::PemFiles)).
    ///
    /// Handshakes take place in the connection's own task and hold its place; they have the header timeout. Whatever
    /// comes in that is no TLS is refused.
    pub fn tls(mut self, tls: impl Into<ServerTls>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Whether to serve without TLS on an address that other machines reach; where not, [`serve`](Self::serve) refuses
    /// with `plain_http_refused`. An address of loopback is served either way.
    ///
    /// Unless set, an API that [demands signatures](Api::signed) is not (signatures show who asks, and hide nothing), and
    /// any other is: it may well stand behind a proxy that ends TLS. `true` is for private networks and for such proxies;
    /// `false` makes a gateway refuse, too.
    pub fn allow_plain_http(mut self, allowed: bool) -> Self {
        self.exposure.plain_http = Some(allowed);
        self
    }

    /// Whether to serve a module on an address that other machines reach although its API asks for no
    /// [keys](crate::ApiKeysLayer) and demands no signatures; where not, as long as this is not set, [`serve`](Self::serve)
    /// refuses with `keys_missing`. An address of loopback is served either way.
    ///
    /// `true` is for networks where everybody may ask, and for an API whose keys somebody else looks at: a layer of your own,
    /// or a proxy.
    pub fn allow_without_keys(mut self, allowed: bool) -> Self {
        self.exposure.without_keys = allowed;
        self
    }

    /// How long a request's head may take.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.limits.header = limit;
        self
    }

    /// How long a connection may rest between requests.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// How long a request's body may pause. Uploads slower than 1 KiB/s end once this much time has passed in all.
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.limits.body = limit;
        self
    }

    /// How long a client may take for the next 4 KiB that wait for it. A reply that is slow to come does not count.
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.limits.write = limit;
        self
    }

    /// How many connections there may be. Further ones wait in the kernel's backlog until a place is free: a burst is
    /// served late rather than refused, and whoever holds places without using them loses them to the timeouts.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.limits.connections = limit.max(1);
        self
    }

    /// How many connections one address (of IPv6: one /64) may have; further ones are closed at once. No limit by
    /// default, since behind a proxy everybody has the proxy's address, and a validator has a connection for each request
    /// that it waits for. A node that strangers reach directly is well served by a few hundred.
    pub fn max_connections_per_peer(mut self, limit: usize) -> Self {
        self.limits.connections_per_peer = limit.max(1);
        self
    }

    /// How long a request's head may be; a longer one is answered with status 431.
    pub fn max_header_bytes(mut self, limit: usize) -> Self {
        self.limits.header_bytes = limit;
        self
    }

    /// How many headers a request may have; one with more is answered with status 431.
    pub fn max_headers(mut self, limit: usize) -> Self {
        self.limits.headers = limit;
        self
    }

    /// How long replies under way may take to end once the server was told to stop; then they are cut off.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.limits.drain = limit;
        self
    }

    /// How long the module's shutdown may take.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.limits.shutdown = limit;
        self
    }

    /// Stops when `done` resolves, instead of on SIGTERM or SIGINT.
    pub fn shutdown(mut self, done: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Stop::when(done));
        self
    }

    /// Calls `told` with the address once the module is initialised and requests are served.
    pub fn on_ready(mut self, told: impl FnOnce(SocketAddr) + Send + 'static) -> Self {
        self.on_ready = Some(Box::new(told));
        self
    }

    /// Calls `told` once it takes no more connections, before the replies under way end: who advertises it can stop.
    pub fn on_draining(mut self, told: impl FnOnce() + Send + 'static) -> Self {
        self.on_draining = Some(Box::new(told));
        self
    }

    /// Serves `api` until it is told to stop, and sees its module through its whole life.
    ///
    /// A first signal (or [`shutdown`](Self::shutdown)) closes the listener, so that new connections are refused, and
    /// lets the requests under way end. Each further signal ends the wait it meets: the drain, then the module's
    /// shutdown. Every task it started is over when it returns; dropped, it ends them at once and does not shut the
    /// module down.
    ///
    /// # Errors
    /// `plain_http_refused` where there is no TLS, the address is not of loopback, and the API demands signatures or
    /// plain HTTP is [not allowed](Self::allow_plain_http); an API that demands none is served unless that says no.
    /// `keys_missing` where the address is not of loopback, and the API asks whoever reaches it for nothing, unless that is
    /// [allowed](Self::allow_without_keys).
    /// What the module's `initialize` or `shutdown` said, and whatever else the API [waits for](Api::ready_when), with the
    /// code `shutdown_timeout` where the module's shutdown did not end in time, and `shutdown_interrupted` where a further
    /// signal ended it.
    pub async fn serve(self, api: impl Into<Api>) -> Result<(), Error> {
        let api = api.into();
        self.exposure.check(self.address, self.tls.is_some(), &api)?;
        let (router, lifecycle) = api.into_parts();
        let stop = match self.stop {
            Some(stop) => stop,
            None => Stop::Signals(Signals::listen()?),
        };
        let limits = Arc::new(self.limits);
        let mut run = Run {
            acceptor: Some(Acceptor::new(self.listener, &limits)),
            limits,
            router,
            tls: self.tls,
            renewing: JoinSet::new(),
            stop,
            draining: watch::Sender::new(false),
            connections: JoinSet::new(),
        };
        let address = self.address;
        let on_ready = self.on_ready;
        let served = run
            .until_stopped(&lifecycle, || {
                if let Some(told) = on_ready {
                    told(address);
                }
            })
            .await;
        lifecycle.draining();
        if let Some(told) = self.on_draining {
            told();
        }
        run.drain().await;
        served.and(run.shut_down(&lifecycle).await)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .field("tls", &self.tls)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

/// A server at work.
struct Run {
    acceptor: Option<Acceptor>,
    limits: Arc<Limits>,
    router: axum::Router,
    tls: Option<ServerTls>,
    /// What renews the certificate while connections are accepted.
    renewing: JoinSet<()>,
    stop: Stop,
    draining: watch::Sender<bool>,
    connections: JoinSet<()>,
}

impl Run {
    /// Accepts, from before the module is initialised until a request to stop, or until the module cannot start.
    async fn until_stopped(&mut self, lifecycle: &Lifecycle, ready: impl FnOnce()) -> Result<(), Error> {
        let mut ready = Some(ready);
        let mut starting = JoinSet::new();
        lifecycle.starting();
        starting.spawn(lifecycle.initialize());
        let mut acceptor = self.acceptor.take().expect("a server runs once");
        let tls = self.tls.as_ref().map(ServerTls::config);
        self.keep_fresh();
        loop {
            tokio::select! {
                biased;
                () = self.stop.requested() => return Ok(()),
                Some(started) = starting.join_next() => {
                    started.unwrap_or_else(panicked)?;
                    lifecycle.serving();
                    if let Some(ready) = ready.take() {
                        ready();
                    }
                }
                Some(_) = self.connections.join_next() => {}
                Some(Err(error)) = self.renewing.join_next() => {
                    tracing::error!(%error, "the renewal of the server's certificate failed and begins anew");
                    self.keep_fresh();
                }
                (stream, peer, place) = acceptor.next() => {
                    let serving = connection(
                        stream, peer, self.router.clone(), self.limits.clone(), tls.clone(), self.draining.subscribe(),
                    );
                    self.connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
            }
        }
    }

    /// Has the certificate renewed while connections are accepted.
    fn keep_fresh(&mut self) {
        if let Some(tls) = &self.tls {
            self.renewing.spawn(tls.clone().keep_fresh());
        }
    }

    /// Lets every connection end, for as long as the drain may take.
    async fn drain(&mut self) {
        self.draining.send_replace(true);
        self.renewing.shutdown().await;
        let late = sleep(self.limits.drain);
        tokio::pin!(late);
        while !self.connections.is_empty() {
            tokio::select! {
                biased;
                _ = self.connections.join_next() => {}
                () = self.stop.requested() => break,
                () = &mut late => break,
            }
        }
        if !self.connections.is_empty() {
            tracing::warn!(
                connections = self.connections.len(),
                "the drain ended before they did"
            );
            self.connections.shutdown().await;
        }
    }

    async fn shut_down(&mut self, lifecycle: &Lifecycle) -> Result<(), Error> {
        let mut ending = JoinSet::new();
        ending.spawn(lifecycle.shutdown());
        tokio::select! {
            ended = timeout(self.limits.shutdown, ending.join_next()) => match ended {
                Ok(Some(ended)) => ended.unwrap_or_else(panicked),
                Ok(None) => Ok(()),
                Err(_) => Err(Error::new(
                    ErrorKind::Timeout,
                    "shutdown_timeout",
                    format!("the module did not shut down within {:?}", self.limits.shutdown),
                )),
            },
            () = self.stop.requested() => Err(Error::new(
                ErrorKind::Unavailable,
                "shutdown_interrupted",
                "a further signal ended the module's shutdown before it was done",
            )),
        }
    }
}

fn panicked(error: JoinError) -> Result<(), Error> {
    match error.try_into_panic() {
        Ok(payload) => Err(Error::from_panic(&*payload)),
        Err(_) => Ok(()),
    }
}

fn not_listening(error: std::io::Error) -> Error {
    Error::invalid("not_listening", "the socket to serve on does not listen").with_source(error)
}
