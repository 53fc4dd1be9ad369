//! Following a chain for as long as somebody cares.

use std::sync::Arc;

use bytes::Bytes;
use synapse_core::{
    BlockNumber, Directory, Epoch, EpochId, Error, Framing, Phase, SubnetId, SubnetParams, Watch, WatchSender,
};
use synapse_http::sse::{Framer, Limits};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Duration, sleep, timeout},
};

use super::{backoff::Backoff, link::Link};
use crate::{
    Head,
    backend::Followed,
    remote::wire::{Changes, Moment, Update},
};

/// The longest event: a directory of thousands of members.
const LONGEST_EVENT: usize = 16 << 20;

/// The shortest wait before a chain is followed again.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// A task that follows a chain or one of its subnets, and ends with its owner.
#[derive(Debug)]
pub(super) struct Follower(JoinHandle<()>);

/// A subnet that is followed.
#[derive(Debug)]
pub(super) struct SubnetFollower {
    subnet: Arc<Known>,
    _task: Follower,
}

/// What is known of a subnet; nothing at first.
#[derive(Debug)]
struct Known {
    directory: WatchSender<Directory>,
    params: WatchSender<SubnetParams>,
    epochs: WatchSender<Epoch>,
    progress: watch::Sender<Progress>,
}

/// How far a follower came.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// The chain was not reached yet, for this reason.
    Waiting(Option<Error>),
    /// Everything is known, as it is now or was when the chain was last reached.
    Synced,
}

impl Follower {
    /// Follows the newest block.
    pub(super) fn of_chain(link: Arc<Link>) -> Self {
        Self(tokio::spawn(follow(link, "/v1/follow".to_owned(), None)))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SubnetFollower {
    pub(super) fn start(link: Arc<Link>, id: SubnetId) -> Self {
        let block = BlockNumber(0);
        let subnet = Arc::new(Known {
            directory: Watch::channel(Directory::default()).0,
            params: Watch::channel(SubnetParams::default()).0,
            epochs: Watch::channel(Epoch::new(EpochId(0), Phase::Serving, block, block)).0,
            progress: watch::Sender::new(Progress::Waiting(None)),
        });
        let task = tokio::spawn(follow(link, format!("/v1/follow/{id}"), Some(subnet.clone())));
        Self {
            subnet,
            _task: Follower(task),
        }
    }

    pub(super) fn followed(&self) -> Followed {
        Followed {
            directory: self.subnet.directory.follow(),
            params: self.subnet.params.follow(),
            epochs: self.subnet.epochs.follow(),
        }
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.subnet.progress.subscribe()
    }
}

/// Follows, and begins anew after each failure, for ever.
async fn follow(link: Arc<Link>, path: String, subnet: Option<Arc<Known>>) {
    let mut backoff = Backoff::new(FIRST_WAIT, Duration::from_secs(5));
    loop {
        let mut reached = false;
        let error = match once(&link, &path, subnet.as_deref(), &mut reached).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if reached {
            backoff.reset();
        }
        let chain = link.http().base();
        let refused = matches!(error.code(), "another_chain" | "chain_went_back");
        if refused {
            tracing::error!(chain, %error, "the chain is refused");
        } else {
            tracing::warn!(chain, %error, "the chain is away; what was last known stays");
        }
        if let Some(subnet) = &subnet {
            subnet.missed(error);
        }
        let wait = backoff.next();
        if refused {
            sleep(wait).await;
        } else {
            // Whoever gets an answer meanwhile says that the chain is back.
            sleep(wait.min(FIRST_WAIT)).await;
            let _ = timeout(wait.saturating_sub(FIRST_WAIT), link.answered()).await;
        }
    }
}

/// Follows over one connection, until it fails.
async fn once(
    link: &Link,
    path: &str,
    subnet: Option<&Known>,
    reached: &mut bool,
) -> Result<std::convert::Infallible, Error> {
    let known = link.seen();
    let mut newest = known;
    let mut response = link.http().stream(path).await?;
    let limits = Limits::default()
        .with_line(LONGEST_EVENT)
        .with_event(LONGEST_EVENT);
    let mut framer = Framer::new(Framing::Sse, limits);
    let mut complete = subnet.is_none();
    loop {
        let read = timeout(link.waits.silence, response.chunk()).await;
        let read = read.map_err(|_| link.http().silent())?;
        let Some(read) = read.map_err(|error| link.http().lost(error))? else {
            return Err(Error::unavailable(
                "connection_cut",
                format!("the chain at {} ended the connection", link.http().base()),
            ));
        };
        framer.push(read);
        while let Some(event) = framer.next() {
            let Some(update) = parse(&event?)? else { continue };
            link.check_chain(&update.chain)?;
            check_order(link, newest, update.head)?;
            if !*reached && let Some(known) = known {
                check_history(link, known).await?;
            }
            newest = Some(update.head);
            // A block is told after what it changed, here as in one process.
            if let Some(subnet) = subnet {
                complete = complete || update.subnet.is_complete();
                if !complete {
                    return Err(Error::broken(
                        "incomplete_subnet",
                        "the chain left out what a follower needs",
                    ));
                }
                subnet.take(update.subnet);
            }
            link.advance(update.head);
            *reached = true;
        }
    }
}

/// The update that an event holds; a comment holds none.
fn parse(event: &Bytes) -> Result<Option<Update>, Error> {
    let lines = event.split(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(data) = lines.filter_map(|line| line.strip_prefix(b"data:")).next() else {
        return Ok(None);
    };
    serde_json::from_slice(data).map(Some).map_err(|error| {
        Error::broken("not_a_chain", "what the chain sent cannot be read").with_source(error)
    })
}

/// A chain that went back is not the one that was followed: its store was lost, or put back from a copy.
fn check_order(link: &Link, known: Option<Head>, said: Head) -> Result<(), Error> {
    let Some(known) = known.filter(|known| *known != said && known.block >= said.block) else {
        return Ok(());
    };
    Err(went_back(
        link,
        known,
        &format!("it is at block {} now", said.block),
    ))
}

/// Once a chain that went back is higher than it was, its block of that height tells: it was made at another time.
async fn check_history(link: &Link, known: Head) -> Result<(), Error> {
    match link
        .get_now::<Moment>(&format!("/v1/blocks/{}", known.block))
        .await
    {
        Ok(block) if block.time == known.time => Ok(()),
        Ok(_) => Err(went_back(link, known, "that is another block now")),
        // A chain in memory keeps no blocks, and has another name each time.
        Err(error) if error.code() == "unknown_block" => Ok(()),
        Err(error) => Err(error),
    }
}

fn went_back(link: &Link, known: Head, now: &str) -> Error {
    let base = link.http().base();
    Error::unavailable(
        "chain_went_back",
        format!("{base} was at block {}, and {now}", known.block),
    )
    .with_hint("start the chain on the directory that it had, or this node anew")
}

impl Changes {
    /// Whether nothing of a subnet is left out.
    fn is_complete(&self) -> bool {
        self.epoch.is_some() && self.params.is_some() && self.directory.is_some()
    }
}

impl Known {
    fn take(&self, changes: Changes) {
        // Only what differs is told: a connection that comes back is no news.
        fn set<T: PartialEq>(watch: &WatchSender<T>, value: Option<T>) {
            if let Some(value) = value
                && *watch.current() != value
            {
                watch.set(value);
            }
        }
        set(&self.params, changes.params);
        set(&self.directory, changes.directory.map(Directory::from));
        set(&self.epochs, changes.epoch);
        self.progress.send_if_modified(|progress| {
            let news = !matches!(progress, Progress::Synced);
            *progress = Progress::Synced;
            news
        });
    }

    fn missed(&self, error: Error) {
        self.progress.send_if_modified(|progress| {
            let waiting = matches!(progress, Progress::Waiting(_));
            if waiting {
                *progress = Progress::Waiting(Some(error));
            }
            waiting
        });
    }
}
