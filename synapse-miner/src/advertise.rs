//! Keeping what a node serves in its subnet's directory.

use std::{fmt, sync::Arc, time::Duration};

use synapse_core::{Directory, Endpoint, Error, Member, NodeId, Serving, Subnet, Watch};
use tokio::time::{Instant, timeout};

/// The pause between two attempts at first; doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Keeps a node's endpoint in its subnet's directory, and the digest of what it can do there, as long as it [runs](Self::run).
///
/// It follows the directory, and tells the subnet where the node serves whenever that is not what is listed: at the
/// start, after the node moved, after it was registered, after the chain lost it. Attempts are 1 s to 60 s apart, also
/// where they succeed and another process goes on to say otherwise: two nodes with one key. Each is told that it is
/// [listed elsewhere](Advertised::Elsewhere), time and again, until one of them is stopped.
///
/// A node that stops stays listed. Whoever asks it notices at once, its place and its stake are its own while it is
/// away, and the next start finds everything as it was. To go for good is [`Subnet::leave`].
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{Endpoint, Error, NodeId, Subnet};
/// use synapse_miner::{Advertised, Advertiser};
///
/// async fn advertise(subnet: Arc<dyn Subnet>, node: NodeId) -> Result<(), Error> {
///     Advertiser::new(subnet, node, Endpoint::http("https://miner.example.com:8091")?)
///         .on_change(|now| match now {
///             Advertised::Unregistered => eprintln!("register this node, and it is listed"),
///             Advertised::Listed => eprintln!("listed"),
///             Advertised::Elsewhere(other) => eprintln!("another process with this key is at {other}: stop one"),
///             Advertised::Failed(error) => eprintln!("not listed yet: {error}"),
///             _ => {}
///         })
///         .run()
///         .await;
///     Ok(())
/// }
/// # let _ = advertise;
/// ```
#[must_use = "an advertiser does nothing until it runs"]
pub struct Advertiser {
    subnet: Arc<dyn Subnet>,
    node: NodeId,
    serving: Watch<Option<Serving>>,
    told: Box<dyn FnMut(&Advertised) + Send>,
}

/// Whether a node is found where it serves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Advertised {
    /// The node is no member: somebody has to register it first.
    Unregistered,
    /// The directory says where it serves.
    Listed,
    /// The directory said where it serves, and now says this. Somebody else has its key, most likely a second process that
    /// was started with it; the subnet is told again.
    Elsewhere(Endpoint),
    /// The subnet could not be told, and will be again.
    Failed(Error),
}

impl Advertiser {
    /// Of `node`, which serves so: at an [`Endpoint`], or there with the digest of what it can do. What `subnet` signs with
    /// must be the node's own key.
    pub fn new(subnet: Arc<dyn Subnet>, node: NodeId, serving: impl Into<Serving>) -> Self {
        Self::following(subnet, node, Watch::constant(Some(serving.into())))
    }

    /// Of `node`, which serves as this says at the time; while it says nothing, neither does the subnet hear anything.
    pub(crate) fn following(subnet: Arc<dyn Subnet>, node: NodeId, serving: Watch<Option<Serving>>) -> Self {
        Self {
            subnet,
            node,
            serving,
            told: Box::new(|_| {}),
        }
    }

    /// Calls `told` with how it stands, once each time that changes.
    pub fn on_change(mut self, told: impl FnMut(&Advertised) + Send + 'static) -> Self {
        self.told = Box::new(told);
        self
    }

    /// Runs until the directory can change no more, which is when the chain's handle is gone. Start it once the
    /// directory is known, and drop it to end it: cancel safe.
    pub async fn run(mut self) {
        let mut news = News::new(self.subnet.directory(), self.serving.clone());
        let (mut pace, mut before, mut wanted) = (Pace::default(), None, None);
        loop {
            let current = news.directory.current();
            if *news.serving.current() != wanted {
                // What was listed until now says nothing of what is to be.
                (wanted, before) = ((*news.serving.current()).clone(), None);
            }
            let Some(serving) = &wanted else {
                if news.next().await.is_none() {
                    return;
                }
                continue;
            };
            let member = current.get(&self.node);
            if let Some(other) = member.and_then(|member| member.endpoint.as_ref())
                && *other != serving.endpoint
                && matches!(before, Some(Advertised::Listed | Advertised::Elsewhere(_)))
            {
                self.tell(&mut before, Advertised::Elsewhere(other.clone()));
            }
            let changed = match (member.map(|member| is_listed(member, serving)), pace.left()) {
                (None, _) => {
                    self.tell(&mut before, Advertised::Unregistered);
                    news.next().await
                }
                (Some(true), _) => {
                    self.tell(&mut before, Advertised::Listed);
                    news.next().await
                }
                (Some(false), Some(left)) => match timeout(left, news.next()).await {
                    Ok(changed) => changed,
                    Err(_) => continue,
                },
                (Some(false), None) => {
                    pace.attempt();
                    if let Err(error) = self.subnet.serve(&self.node, serving.clone()).await {
                        self.tell(&mut before, Advertised::Failed(error));
                    }
                    continue;
                }
            };
            if changed.is_none() {
                return;
            }
        }
    }

    fn tell(&mut self, before: &mut Option<Advertised>, now: Advertised) {
        if !before.as_ref().is_some_and(|before| before.is_like(&now)) {
            (self.told)(&now);
            *before = Some(now);
        }
    }
}

impl fmt::Debug for Advertiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Advertiser")
            .field("subnet", &self.subnet.id())
            .field("node", &self.node)
            .field("serving", &self.serving.current())
            .finish_non_exhaustive()
    }
}

impl Advertised {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failed(one), Self::Failed(other)) => one.code() == other.code(),
            (Self::Elsewhere(one), Self::Elsewhere(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

fn is_listed(member: &Member, serving: &Serving) -> bool {
    member.endpoint.as_ref() == Some(&serving.endpoint) && member.capabilities == serving.capabilities
}

/// What the directory says, and what it should say.
struct News {
    directory: Watch<Directory>,
    serving: Watch<Option<Serving>>,
    /// Whether somebody may still change what it should say.
    may_move: bool,
}

impl News {
    fn new(directory: Watch<Directory>, serving: Watch<Option<Serving>>) -> Self {
        Self {
            directory,
            serving,
            may_move: true,
        }
    }

    /// Waits until one of them changes; `None` once the directory cannot any more. Cancel safe.
    async fn next(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.directory.next() => changed.map(drop),
            moved = self.serving.next(), if self.may_move => {
                self.may_move = moved.is_some();
                Some(())
            }
        }
    }
}

/// When a chain may be asked again.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// How long not yet; `None` where it may be now.
    pub(crate) fn left(&self) -> Option<Duration> {
        let (at, pause) = self.last?;
        let left = (at + pause).saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// It is asked now: the next time, so soon after this one, after a longer pause.
    pub(crate) fn attempt(&mut self) {
        let pause = match self.last {
            Some((at, pause)) if at.elapsed() < pause + LONGEST => (pause * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some((Instant::now(), pause));
    }
}
