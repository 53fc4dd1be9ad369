//! The connection to Redis, and what is sent over it when there is time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::script::{Scripts, Settlement};

/// How long connecting may take, with loading the scripts, and how long a batch of settlements.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon a lost connection is tried again, and how late at last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Settlements that are sent together.
const BATCH: usize = 128;
/// How often a batch is sent before it is given up: Redis may refuse what it gets.
const TRIES: u32 = 8;
/// Calls that wait for their turn on the connection.
const BUFFER: usize = 1024;

/// The connection, while there is one, and the way to the outbox.
#[derive(Debug)]
pub(super) struct Link {
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
    /// Settlements that are under way.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// The way for settlements: bounded, and never waiting.
#[derive(Debug)]
pub(super) struct Outbox {
    link: Arc<Link>,
    sender: mpsc::Sender<Settlement>,
}

impl Link {
    /// Connects, connects again, and empties the outbox until it is dropped.
    pub(super) fn open(client: Client, scripts: Arc<Scripts>, places: usize) -> (Arc<Self>, Outbox) {
        let link = Arc::new(Self {
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        });
        let (sender, settlements) = mpsc::channel(places.max(1));
        let outbox = Outbox {
            link: link.clone(),
            sender,
        };
        let keeper = Keeper {
            link: link.clone(),
            client,
            scripts,
            settlements,
            batch: Vec::with_capacity(BATCH),
            tries: 0,
        };
        tokio::spawn(keeper.run());
        (link, outbox)
    }

    /// The connection; `None` while there is none.
    pub(super) fn connection(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connection.load_full()
    }

    /// Says that this connection is of no use, and `false`; another one is made.
    pub(super) fn lose(&self, connection: &Arc<MultiplexedConnection>, why: &dyn fmt::Display) -> bool {
        let was = self.connection.rcu(|current| {
            current
                .clone()
                .filter(|current| !Arc::ptr_eq(current, connection))
        });
        if was.is_some_and(|was| Arc::ptr_eq(&was, connection)) {
            tracing::warn!(error = %why, "Redis does not answer; limits are not shared for now");
            self.lost.notify_one();
        }
        false
    }

    /// How many settlements Redis has not got yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// How many it never will.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Outbox {
    /// Sends it some time; where there is no room it is dropped, and counted.
    pub(super) fn put(&self, settlement: Settlement) {
        self.link.waiting.fetch_add(1, Ordering::AcqRel);
        if self.sender.try_send(settlement).is_err() {
            self.link.waiting.fetch_sub(1, Ordering::AcqRel);
            self.link.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Owns the connection and the outbox's other end.
struct Keeper {
    link: Arc<Link>,
    client: Client,
    scripts: Arc<Scripts>,
    settlements: mpsc::Receiver<Settlement>,
    /// Taken out of the outbox, and not known to have arrived.
    batch: Vec<Settlement>,
    tries: u32,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = BACKOFF.0;
        // Told once a time.
        let mut told = false;
        while !self.settlements.is_closed() || !self.settlements.is_empty() {
            let failed = match timeout(PATIENCE, self.connect()).await {
                Ok(Ok(connection)) => {
                    let connection = Arc::new(connection);
                    self.link.connection.store(Some(connection.clone()));
                    tracing::info!("limits are shared over Redis");
                    if self.serve(&connection).await {
                        pause = BACKOFF.0;
                    }
                    // Who lost it said so.
                    told = true;
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(late) => Some(late.to_string()),
            };
            if let Some(error) = failed.filter(|_| !told) {
                tracing::warn!(error, "Redis is not reached; limits are not shared until it is");
                told = true;
            }
            if self.settlements.is_closed() {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            // Whoever calls waits as long as it likes.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFER);
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        self.scripts.load(&mut connection).await?;
        Ok(connection)
    }

    /// Empties the outbox until the connection is lost or nobody fills it; whether anything was sent.
    async fn serve(&mut self, connection: &Arc<MultiplexedConnection>) -> bool {
        let mut sent = false;
        loop {
            if self.batch.is_empty() {
                tokio::select! {
                    // Or it was another one, which is long replaced.
                    () = self.link.lost.notified() => {
                        if self.link.connection().is_none() {
                            return sent;
                        }
                        continue;
                    }
                    taken = self.settlements.recv_many(&mut self.batch, BATCH) => {
                        if taken == 0 {
                            return sent;
                        }
                        self.tries = 0;
                    }
                }
            }
            let mut together = Pipeline::with_capacity(self.batch.len());
            for settlement in &self.batch {
                together.add_command(self.scripts.settle(settlement));
            }
            let mut own = MultiplexedConnection::clone(connection);
            let answer = timeout(PATIENCE, together.query_async::<Vec<i64>>(&mut own)).await;
            let arrived = match answer {
                Ok(Ok(_)) => true,
                Ok(Err(error)) => self.link.lose(connection, &error),
                Err(late) => self.link.lose(connection, &late),
            };
            sent |= arrived;
            self.tries += 1;
            if arrived || self.tries >= TRIES {
                let of = self.batch.len();
                self.batch.clear();
                self.link.waiting.fetch_sub(of, Ordering::AcqRel);
                if !arrived {
                    self.link.dropped.fetch_add(of as u64, Ordering::Relaxed);
                }
            }
            if self.link.connection().is_none() {
                return sent;
            }
        }
    }
}
