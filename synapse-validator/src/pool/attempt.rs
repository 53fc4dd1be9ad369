//! One request to one member, and what others may say about which.

use std::{sync::Arc, time::Duration};

use synapse_core::{
    Chunk, Deadline, Ending, Error, ErrorKind, Input, NodeId, Output, Pending, RequestId, Tap,
};
use tokio::time::Instant;

use super::{
    balance::Observation,
    failover::Verdict,
    miner::{Miner, bounded},
    roster::Roster,
    wait::Wait,
    witness::{Outcome, Report},
};

/// What stands in for a deadline that the clock cannot count to.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// A caller who gives a member less time than this may have given it too little; who gives it more waited for it.
const TIME_ENOUGH: Duration = Duration::from_secs(30);
/// A reply that nothing came of for so long has stalled.
const STALLED: Duration = Duration::from_secs(10);

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
/// It is asked once, whether it is ejected or not, and whether it claims the model or not; where it is not ready the
/// request fails with `no_miner_ready`. What it answers is handed on as it is, errors too, and counts for its load and its
/// ejection as any other request: who could be told apart by what follows would be treated differently. Only that it
/// does not know a model that it does not claim is no failure. The member's module does not see this extension.
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

    /// `input` for this member alone, with what a user's brings along from a gateway's door, where it has none yet: a
    /// [`RequestId`] and a [`Deadline`] after `within`. A member sees both, and would know who asks by their absence.
    #[must_use]
    pub fn like_a_users(self, mut input: Input, within: Duration) -> Input {
        let brought = input.extensions_mut();
        if brought.get::<RequestId>().is_none() {
            brought.insert(RequestId::unique());
        }
        if brought.get::<Deadline>().is_none() {
            let now = Instant::now();
            let end = now.checked_add(within).unwrap_or_else(|| now + FAR);
            brought.insert(Deadline::at(end));
        }
        brought.insert(self);
        input
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

/// How a member answered.
pub(super) struct Asked {
    pub(super) result: Result<Output, Error>,
    /// What is still to be told of a refusal as the caller's fault, which somebody else may contradict.
    pub(super) refusal: Option<Report>,
}

/// Asks `miner`, and keeps count of it until the body ends. `None` where it left meanwhile.
pub(super) async fn ask(
    roster: &Arc<Roster>,
    miner: &Arc<Miner>,
    input: Input,
    first_content: Duration,
    report: Option<Report>,
) -> Option<Asked> {
    if !miner.enter() {
        report.into_iter().for_each(Report::withdraw);
        return None;
    }
    let mut pending = Pending::new(UnderWay {
        roster: roster.clone(),
        miner: miner.clone(),
        started: Instant::now(),
        deadline: input.extensions().get::<Deadline>().map(|end| end.instant()),
        claimed: miner
            .capabilities()
            .is_none_or(|can| input.model().map_or(true, |model| can.model(model).is_some())),
        answered: false,
        wait: Wait::default(),
        report,
    });
    let answering = miner.module().run_inference(input);
    let answer = tokio::select! {
        biased;
        answer = bounded("sent no content", first_content, answering) => answer,
        silent = miner.silence().turned_away() => Err(silent),
    };
    let mut refusal = None;
    let result = match answer {
        Ok(mut output) => {
            pending.tap_mut().answered();
            // A member cannot claim to be another.
            output.head = std::mem::take(&mut output.head).with_served_by(miner.node().clone());
            let wait = pending.tap_mut().wait.clone();
            Ok(output.map_body(|body| miner.silence().end(body, wait)))
        }
        Err(error) => {
            refusal = pending.tap_mut().keep_refusal(&error);
            Err(error)
        }
    };
    Some(Asked {
        result: pending.settle(result),
        refusal,
    })
}

/// A request that a member works on.
struct UnderWay {
    roster: Arc<Roster>,
    miner: Arc<Miner>,
    started: Instant,
    /// When the answer was no longer wanted.
    deadline: Option<Instant>,
    /// Whether the member says that it serves the model.
    claimed: bool,
    answered: bool,
    /// How long it was waited for since it answered.
    wait: Wait,
    report: Option<Report>,
}

impl UnderWay {
    fn answered(&mut self) {
        self.answered = true;
        self.miner
            .observe(Observation::FirstContent(self.started.elapsed()));
        if let Some(report) = &mut self.report {
            report.answered();
        }
    }

    /// Takes the report out where `error` is a refusal that somebody else may contradict.
    fn keep_refusal(&mut self, error: &Error) -> Option<Report> {
        if self.verdict(error) != Verdict::CallersFault {
            return None;
        }
        let mut report = self.report.take()?;
        report.ended(Outcome::Refused(error.code().to_owned()));
        Some(report)
    }

    /// Whose fault an error is. To know nothing of a model that one does not claim is right.
    fn verdict(&self, error: &Error) -> Verdict {
        match error.kind() {
            ErrorKind::NotFound if !self.claimed => Verdict::CallersFault,
            _ => Verdict::of(error),
        }
    }

    /// Whether the caller's deadline is over.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|end| end <= Instant::now())
    }

    /// Whether the member let a caller's deadline go by. A deadline of a millisecond is no fault of its, and neither is one
    /// that ends a reply which still came.
    fn let_it_go_by(&self) -> bool {
        let given = self
            .deadline
            .map(|end| end.saturating_duration_since(self.started));
        given.is_some_and(|given| given >= TIME_ENOUGH) && (!self.answered || self.wait.lately() >= STALLED)
    }

    /// Counts it for load and ejection, and says what became of it.
    fn settle(&self, ending: &Ending) -> Outcome {
        let (error, taken) = match ending {
            Ending::Complete => {
                self.miner.succeeded();
                return Outcome::Answered;
            }
            // A layer above may be the first to see that it is too late.
            Ending::Dropped if self.is_over() && self.let_it_go_by() => {
                self.miner.observe(Observation::Failed(self.started.elapsed()));
                self.roster.note_failure(&self.miner);
                return Outcome::Failed("deadline_exceeded".to_owned());
            }
            Ending::Dropped => {
                if !self.answered {
                    self.miner.observe(Observation::Abandoned(self.started.elapsed()));
                }
                return Outcome::Dropped;
            }
            Ending::Broken(error) => (error, self.started.elapsed()),
        };
        let code = error.code().to_owned();
        if error.kind() == ErrorKind::Timeout && self.is_over() && !self.let_it_go_by() {
            self.miner.observe(Observation::Abandoned(taken));
            return Outcome::Dropped;
        }
        match self.verdict(error) {
            // Believed or not once somebody else was asked, and no sign of speed either way.
            Verdict::CallersFault if !self.answered => Outcome::Refused(code),
            Verdict::Refused => {
                self.miner.observe(Observation::Failed(taken));
                Outcome::Failed(code)
            }
            // Who began to answer has no complaint about the caller any more.
            Verdict::CallersFault | Verdict::Failed => {
                self.miner.observe(Observation::Failed(taken));
                self.roster.note_failure(&self.miner);
                Outcome::Failed(code)
            }
        }
    }
}

impl Tap for UnderWay {
    fn on_chunk(&mut self, chunk: &Chunk) {
        if let Some(report) = &mut self.report {
            report.note(chunk);
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        self.miner.exit();
        let outcome = self.settle(ending);
        if let Some(report) = self.report.take() {
            report.tell(outcome, self.wait.all());
        }
    }
}
