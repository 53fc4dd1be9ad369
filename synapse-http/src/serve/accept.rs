//! Taking in connections, no more than there are places for.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use super::limits::Limits;

const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Takes in connections, no more than there are places for.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    peers: Arc<Peers>,
    pause: Duration,
    /// When that pause is over, however often the wait for it is begun.
    resume: Instant,
}

/// What a connection holds while it lives.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _seat: Seat,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, limits: &Limits) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            peers: Arc::new(Peers {
                limit: limits.connections_per_peer,
                taken: Mutex::default(),
            }),
            pause: Duration::ZERO,
            resume: Instant::now(),
        }
    }

    /// The next connection; waits while every place is taken. Cancel safe.
    pub(super) async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        loop {
            let permit = self.places.clone().acquire_owned().await;
            let permit = permit.expect("nobody closes the semaphore");
            if !self.pause.is_zero() {
                sleep_until(self.resume).await;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = Duration::ZERO;
                    match self.peers.seat(peer.ip()) {
                        Some(seat) => {
                            let place = Place {
                                _permit: permit,
                                _seat: seat,
                            };
                            return (stream, peer, place);
                        }
                        None => tracing::debug!(%peer, "a connection was refused: its address has too many"),
                    }
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                    self.resume = Instant::now() + self.pause;
                    tracing::error!(%error, pause = ?self.pause, "no connection could be accepted");
                }
            }
        }
    }
}

/// The peer gave up before it was its turn: no reason to pause.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[derive(Debug)]
struct Peers {
    limit: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct Seat {
    peers: Arc<Peers>,
    /// `None` where nobody counts.
    address: Option<IpAddr>,
}

impl Peers {
    fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        if self.limit == usize::MAX {
            let peers = self.clone();
            return Some(Seat { peers, address: None });
        }
        let address = household(address);
        let mut taken = self.taken();
        let count = taken.entry(address).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat {
            peers: self.clone(),
            address: Some(address),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().expect("nothing panics while it counts peers")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = self.peers.taken();
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}

/// Whoever has one IPv6 address has a /64 of them.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}
