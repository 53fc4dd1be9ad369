//! What is between two nodes: it passes bytes on, keeps what it sees, and goes mute when told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes bytes on between whoever connects and one address. Ends when it is dropped.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    passing: Arc<Passing>,
    _connections: JoinSet<()>,
}

#[derive(Debug)]
struct Passing {
    mute: watch::Sender<bool>,
    /// What was seen, a `Vec` a connection and direction.
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Wire {
    /// A wire whose far end is not known yet: [`reach`](Self::reach) says where it is.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        (listener, address)
    }

    /// The wire from `listener` to `far`.
    ///
    /// # Panics
    /// Where the listener does not listen.
    #[must_use]
    pub fn reach(listener: TcpListener, far: SocketAddr) -> Self {
        let address = listener.local_addr().expect("it listens");
        let passing = Arc::new(Passing {
            mute: watch::Sender::new(false),
            seen: Mutex::default(),
        });
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, far, passing.clone()));
        Self {
            address,
            passing,
            _connections: connections,
        }
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes nothing on from now on, and closes nothing: what a connection is like whose other end is gone without a
    /// word.
    pub fn go_mute(&self) {
        self.passing.mute.send_replace(true);
    }

    /// What passed, a `Vec` a connection and direction.
    ///
    /// # Panics
    /// Never: nothing panics while it holds what was seen.
    #[must_use]
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.passing
            .seen
            .lock()
            .expect("nothing panics while it holds it")
            .clone()
    }
}

async fn accept(listener: TcpListener, far: SocketAddr, passing: Arc<Passing>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let passing = passing.clone();
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect(far).await else {
                return;
            };
            let (near_reads, near_writes) = near.into_split();
            let (far_reads, far_writes) = far.into_split();
            tokio::join!(
                passing.copy(near_reads, far_writes),
                passing.copy(far_reads, near_writes)
            );
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Passing {
    async fn copy(&self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
        let seen = |bytes: &[u8], at: Option<usize>| {
            let mut seen = self.seen.lock().expect("nothing panics while it holds it");
            let at = at.unwrap_or_else(|| {
                seen.push(Vec::new());
                seen.len() - 1
            });
            seen[at].extend_from_slice(bytes);
            at
        };
        let at = seen(&[], None);
        let mut mute = self.mute.subscribe();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let gone = async { mute.wait_for(|mute| *mute).await.is_ok() };
            let read = tokio::select! {
                biased;
                true = gone => None,
                read = from.read(&mut buffer) => Some(read.unwrap_or(0)),
            };
            let Some(read) = read else {
                return std::future::pending().await;
            };
            if read == 0 {
                let _ = to.shutdown().await;
                return;
            }
            seen(&buffer[..read], Some(at));
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
