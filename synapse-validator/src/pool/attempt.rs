//! One request to one member, and what others may say about which.

use std::{sync::Arc, time::Duration};

use synapse_core::{Deadline, Ending, Error, ErrorKind, Input, NodeId, Output, Pending, Tap};
use tokio::time::Instant;

use super::{
    balance::Observation,
    failover::Verdict,
    miner::{Miner, bounded},
    roster::Roster,
};

/// Members that must not be asked for a request: an extension of the input, set by whoever already has their answer.
///
/// ```
/// use synapse_core::{Input, Message};
/// use synapse_validator::pool::Excluded;
///
/// let mut input = Input::chat("smollm2", [Message::user("hello")]);
/// input.extensions_mut().insert(Excluded::new(["miner-1".into()]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excluded(Arc<[NodeId]>);

impl Excluded {
    /// These members.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self(nodes.into_iter().collect())
    }

    /// Whether this member is one of them.
    #[must_use]
    pub fn contains(&self, node: &NodeId) -> bool {
        self.0.contains(node)
    }
}

/// The one member that may be asked for a request: an extension of the input, set by whoever wants to know how that one does.
///
/// It is asked once, whether it is ejected or not; where it is not ready the request fails with `no_miner_ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only(NodeId);

impl Only {
    /// This member.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self(node)
    }

    /// Who it is.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0
    }
}

/// Which attempt of a request this is, counted from 1: an extension of the input that a member gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(u32);

impl Attempt {
    pub(super) fn new(number: u32) -> Self {
        Self(number)
    }

    /// The attempt's number, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Asks `miner`, and keeps count of it until the body ends. `None` where it left meanwhile.
pub(super) async fn ask(
    roster: &Arc<Roster>,
    miner: &Arc<Miner>,
    input: Input,
    first_content: Duration,
) -> Option<Result<Output, Error>> {
    if !miner.enter() {
        return None;
    }
    let started = Instant::now();
    let deadline = input
        .extensions()
        .get::<Deadline>()
        .map(|deadline| deadline.instant());
    let mut pending = Pending::new(UnderWay {
        roster: roster.clone(),
        miner: miner.clone(),
        started,
        deadline,
        answered: false,
    });
    let answering = miner.module().run_inference(input);
    let answer = tokio::select! {
        biased;
        answer = bounded("sent no content", first_content, answering) => answer,
        silent = miner.silence().turned_away() => Err(silent),
    };
    let result = answer.map(|mut output| {
        pending.tap_mut().answered = true;
        miner.observe(Observation::FirstContent(started.elapsed()));
        // A member cannot claim to be another.
        output.head = std::mem::take(&mut output.head).with_served_by(miner.node().clone());
        output.map_body(|body| miner.silence().end(body))
    });
    Some(pending.settle(result))
}

/// A request that a member works on.
struct UnderWay {
    roster: Arc<Roster>,
    miner: Arc<Miner>,
    started: Instant,
    /// When the answer was no longer wanted.
    deadline: Option<Instant>,
    answered: bool,
}

impl UnderWay {
    /// Whether the member had the time that a caller gave it and no more: a deadline of a millisecond is no fault of its.
    fn ran_out(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Timeout && self.deadline.is_some_and(|end| end <= Instant::now())
    }
}

impl Tap for UnderWay {
    fn on_end(&mut self, ending: &Ending) {
        self.miner.exit();
        match ending {
            Ending::Complete => self.miner.succeeded(),
            Ending::Broken(error) if self.ran_out(error) => {
                self.miner.observe(Observation::Abandoned(self.started.elapsed()));
            }
            Ending::Broken(error) => match Verdict::of(error) {
                // Believed or not once somebody else was asked, and no sign of speed either way.
                Verdict::CallersFault if !self.answered => {}
                Verdict::Refused => self.miner.observe(Observation::Failed(self.started.elapsed())),
                // Who began to answer has no complaint about the caller any more.
                Verdict::CallersFault | Verdict::Failed => {
                    self.miner.observe(Observation::Failed(self.started.elapsed()));
                    self.roster.note_failure(&self.miner);
                }
            },
            Ending::Dropped if self.answered => {}
            Ending::Dropped => self.miner.observe(Observation::Abandoned(self.started.elapsed())),
        }
    }
}
