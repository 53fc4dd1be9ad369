//! Who is told how each request to a member went.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use synapse_core::{Caller, CallerId, Chunk, Input, NodeId};
use tokio::time::Instant;

/// A chunk longer than this is not read for its text, and counts as none: reading happens where the body is polled.
const LONGEST_READ: usize = 4 << 20;

/// Is told how each request to each member went: once it ended, however it did.
///
/// Runs where the reply's body is polled, so it must be quick and must not block. One that panics is logged, and is told
/// of the next.
pub trait Witness: Send + Sync + 'static {
    /// A request to a member ended.
    fn saw(&self, sighting: &Sighting);
}

/// One request to one member: of a request that was tried with three members there are three.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sighting {
    /// Who was asked.
    pub miner: NodeId,
    /// Who wanted to know, where that is known.
    pub caller: Option<CallerId>,
    /// Whether it was asked of [this member alone](super::Only), as probes are.
    pub only: bool,
    /// From asking to the first content, which is when the member's module answered; `None` where it did not.
    pub first_content: Option<Duration>,
    /// From asking to the end. A client that reads slowly makes it longer.
    pub total: Duration,
    /// How much of the time after the first content the member was waited for: what its client took to read is not in it.
    pub waited: Duration,
    /// Chunks with text.
    pub chunks: u32,
    /// Bytes of text in the reply, reasoning and arguments of tool calls included. What nobody here can read counts as none,
    /// so that nobody is paid for noise.
    pub text_bytes: u64,
    /// How it went.
    pub outcome: Outcome,
}

impl Sighting {
    /// A request to `miner` that went like this, to be filled in: for a witness of requests that no pool sent.
    #[must_use]
    pub fn new(miner: NodeId, outcome: Outcome) -> Self {
        Self {
            miner,
            caller: None,
            only: false,
            first_content: None,
            total: Duration::ZERO,
            waited: Duration::ZERO,
            chunks: 0,
            text_bytes: 0,
            outcome,
        }
    }
}

/// How a request to a member went: what the pool makes of it for [load and ejection](super), in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The reply was whole.
    Answered,
    /// It failed, with an error of this code: also where it had no room, or let go by a deadline of 30 s or more.
    Failed(String),
    /// It refused with an error of this code, as the caller's fault, what another member then answered. One of the two is
    /// wrong, and who is, nobody here can tell: whoever answers anything contradicts what is rightly refused.
    Contradicted(String),
    /// It was refused as the caller's fault: nobody's failure.
    Refused(String),
    /// Its client left, or gave it less than 30 s that are over, or another attempt won.
    Dropped,
}

/// What a witness is owed: word of one request. Dropped before that it says that the request was.
pub(super) struct Report {
    witness: Arc<dyn Witness>,
    started: Instant,
    sighting: Sighting,
    told: bool,
}

impl Report {
    /// Of a request to `miner` that is sent now.
    pub(super) fn new(witness: Arc<dyn Witness>, miner: NodeId, input: &Input, only: bool) -> Self {
        let caller = input.extensions().get::<Caller>();
        Self {
            witness,
            started: Instant::now(),
            sighting: Sighting {
                caller: caller.map(|caller| caller.id().clone()),
                only,
                ..Sighting::new(miner, Outcome::Dropped)
            },
            told: false,
        }
    }

    pub(super) fn answered(&mut self) {
        self.sighting.first_content = Some(self.started.elapsed());
    }

    pub(super) fn note(&mut self, chunk: &Chunk) {
        let bytes = text_bytes(chunk);
        self.sighting.text_bytes = self.sighting.text_bytes.saturating_add(bytes);
        self.sighting.chunks = self.sighting.chunks.saturating_add(u32::from(bytes > 0));
    }

    /// It is over, and may still be seen otherwise: what is told unless somebody says more.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.sighting.total = self.started.elapsed();
        self.sighting.outcome = outcome;
    }

    /// It went like this, and its member was waited for so long since its first content.
    pub(super) fn tell(mut self, outcome: Outcome, waited: Duration) {
        self.ended(outcome);
        self.sighting.waited = waited;
        self.hand_over();
    }

    /// As [`tell`](Self::tell), of a request that ended before.
    pub(super) fn correct(mut self, outcome: Outcome) {
        self.sighting.outcome = outcome;
        self.hand_over();
    }

    /// There is nothing to tell: it was not sent.
    pub(super) fn withdraw(mut self) {
        self.told = true;
    }

    fn hand_over(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let told = catch_unwind(AssertUnwindSafe(|| self.witness.saw(&self.sighting)));
        if told.is_err() {
            tracing::error!(miner = %self.sighting.miner, "the pool's witness panicked");
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.sighting.outcome == Outcome::Dropped {
            self.sighting.total = self.started.elapsed();
        }
        self.hand_over();
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("sighting", &self.sighting)
            .finish_non_exhaustive()
    }
}

fn text_bytes(chunk: &Chunk) -> u64 {
    if chunk.wire().is_some_and(|bytes| bytes.len() > LONGEST_READ) {
        return 0;
    }
    let Ok(deltas) = chunk.deltas() else { return 0 };
    let bytes = deltas.iter().map(|delta| {
        let calls: usize = delta.tool_calls.iter().map(|call| call.arguments.len()).sum();
        delta.text.len() + delta.reasoning.len() + calls
    });
    bytes.sum::<usize>() as u64
}
