//! Following the chain from epoch to epoch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use synapse_core::{BlockNumber, Directory, Epoch, EpochId, Error};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    alert::AlertCode,
    corrupt::{Corrupt, look_through},
    course::{Course, Step},
    shared::Shared,
};
use crate::{
    evidence::{EpochEvidence, Gathered, MinerEvidence},
    judge::Validator,
    state::{EpochRecord, Stage},
};

/// Of what is stored, the epochs that may have something left to do.
const RECENT: usize = 8;
/// A chain is never called stalled before.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before an epoch that was not brought to its end is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A checkpoint that takes a second is followed by so many seconds without one: the open epoch may be large, and its disk slow.
const REST: u32 = 9;
/// What to do where the chain is far behind what is stored.
const ANOTHER_CHAIN: &str = "if this is another chain, give the node an empty directory: the evidence of the old one stays where \
     it is; else wait until the chain is there";
/// Looks in a row at which no miner is ready, before that is said.
const LONELY: u32 = 6;

/// Follows the chain: which epoch evidence belongs to, and what there is to weigh.
pub(super) struct Follow<V> {
    shared: Arc<Shared<V>>,
    course: Course,
    weighing: JoinSet<EpochId>,
    under_way: BTreeMap<EpochId, AbortHandle>,
    /// The open epoch as it was last stored.
    stored: Option<Mark>,
    /// No checkpoint before: one that takes long is made less often.
    rests_until: Instant,
    pulse: Pulse,
    lonely: u32,
    corrupt: Corrupt,
}

impl<V: Validator> Follow<V> {
    /// Goes on where the state says that the node was.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub(super) async fn resumed(shared: Arc<Shared<V>>) -> Result<Self, Error> {
        let epochs = shared.state.epochs();
        let mut recent = Vec::new();
        for epoch in &epochs[epochs.len().saturating_sub(RECENT)..] {
            recent.extend(shared.state.fetch(*epoch).await?);
        }
        let course = Course::resumed(recent.iter().map(|record| (record.epoch(), &record.stage)));
        let mut follow = Self {
            shared,
            course,
            weighing: JoinSet::new(),
            under_way: BTreeMap::new(),
            stored: None,
            rests_until: Instant::now(),
            pulse: Pulse::new(),
            lonely: 0,
            corrupt: Corrupt::default(),
        };
        let open = recent.pop().filter(|record| record.stage == Stage::Open);
        if let Some(record) = open {
            follow.reopen(Arc::unwrap_or_clone(record)).await;
        }
        Ok(follow)
    }

    /// Follows the chain.
    ///
    /// # Errors
    /// `chain_gone`, where nobody can tell any more what epoch it is.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let (mut epochs, mut directory) = (self.shared.subnet.epochs(), self.shared.subnet.directory());
        let mut checkpoints = interval(self.shared.settings.checkpoint_every);
        checkpoints.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking = JoinSet::new();
        looking.spawn(look_through(self.shared.clone(), RECENT));
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.weighing.join_next() => self.weighed(ended.ok()).await,
                now = epochs.next() => match now {
                    Some(now) => self.advance(*now).await,
                    None => return Err(gone()),
                },
                members = directory.next() => match members {
                    Some(members) => self.shared.enrol(&members),
                    None => return Err(gone()),
                },
                _ = checkpoints.tick() => self.checkpoint().await,
                () = self.pulse.is_late() => {
                    let text = format!("no phase of the chain began for {:?}", self.pulse.silence());
                    self.shared.alerts.raise(AlertCode::ChainStalled, self.course.open(), text);
                }
            }
        }
    }

    /// Stores what came into the open epoch since it was last stored.
    pub(super) async fn checkpoint(&mut self) {
        let shared = self.shared.clone();
        self.corrupt.tell(&shared);
        self.look_for_miners();
        let began = Instant::now();
        if began < self.rests_until {
            return;
        }
        let gathered = shared.log.gathered();
        let Some(gathered) = gathered.filter(|gathered| Some(gathered.epoch.epoch) == self.course.open())
        else {
            return;
        };
        let mark = Mark::of(&gathered);
        if self.stored.as_ref() == Some(&mark) {
            shared.kept(mark.epoch.epoch, shared.state.flush().await);
            return;
        }
        if shared.keep_open(gathered).await {
            self.stored = Some(mark);
        }
        self.rests_until = Instant::now() + began.elapsed() * REST;
    }

    async fn advance(&mut self, now: Epoch) {
        self.pulse.beat();
        self.shared.alerts.clear(AlertCode::ChainStalled);
        self.shared.heard_of(self.shared.first_block(now));
        let weighed = match self.shared.state.fetch(now.id).await {
            Ok(record) => record.map(|record| record.stage.clone()),
            Err(error) => {
                self.shared.kept(now.id, Err(error));
                None
            }
        };
        let steps = self.course.advance(now, weighed.as_ref());
        match self.course.astray() {
            Some(stored) => {
                let text = format!(
                    "what is stored is of epoch {stored}, and the chain is at epoch {}: until it is past the stored one, no \
                     new weights are submitted",
                    now.id
                );
                let code = AlertCode::ChainWentBack;
                self.shared
                    .alerts
                    .raise_with(code, Some(now.id), text, ANOTHER_CHAIN);
            }
            None => {
                let behind = self.course.is_behind();
                self.shared.alerts.set(AlertCode::ChainWentBack, behind, || {
                    format!("the chain went back to epoch {}, {:?}", now.id, now.phase)
                });
            }
        }
        for step in steps {
            match step {
                Step::Turn(epoch) => self.turn(epoch).await,
                Step::Weigh(epoch) | Step::Late(epoch) => self.weigh(epoch, Duration::ZERO),
            }
        }
        self.shared.log.seen(self.shared.block());
    }

    /// Closes the epoch that is open, and opens the next one.
    async fn turn(&mut self, epoch: EpochId) {
        let shared = self.shared.clone();
        for code in [AlertCode::JudgeFault, AlertCode::TaskFailed] {
            shared.alerts.clear(code);
        }
        let directory = shared.subnet.directory().current();
        self.enrolled(&directory);
        shared.log.seen(BlockNumber(shared.block().0.saturating_sub(1)));
        let mut next = EpochEvidence::new(
            shared.subnet.id(),
            shared.validator.clone(),
            epoch,
            shared.block(),
        );
        next.miners = shared
            .roll
            .current()
            .values()
            .map(|enrolled| MinerEvidence::of(&enrolled.member, enrolled.refused.clone()))
            .collect();
        let closed = shared.log.open(next.clone());
        // What was found before the first one began is not over with it.
        if closed.is_some() {
            self.corrupt.over(&shared);
        }
        self.stored = None;
        if let Some(seen) = closed.filter(|seen| seen.subnet == shared.subnet.id() && seen.epoch < epoch) {
            let mut record = EpochRecord::open(seen);
            record.reach(Stage::Closed, shared.block());
            tracing::info!(epoch = %record.epoch(), "an epoch is closed");
            shared.keep(record).await;
        }
        shared.keep(EpochRecord::open(next)).await;
    }

    /// Goes on with an epoch that was open before the node, or this task, was begun again.
    async fn reopen(&mut self, record: EpochRecord) {
        let shared = &self.shared;
        if shared.log.epoch() == Some((shared.subnet.id(), record.epoch())) {
            return;
        }
        let mut evidence = Arc::unwrap_or_clone(record.evidence);
        evidence.interruptions = evidence.interruptions.saturating_add(1);
        shared.heard_of(evidence.to);
        shared.log.open(evidence);
        // With the first checkpoint, which is made at once, the state has it too.
    }

    fn weigh(&mut self, epoch: EpochId, after: Duration) {
        if !self.under_way.contains_key(&epoch) {
            let shared = self.shared.clone();
            let task = self.weighing.spawn(async move {
                sleep(after).await;
                Box::pin(shared.weigh(epoch)).await;
                epoch
            });
            self.under_way.insert(epoch, task);
        }
    }

    /// Bringing an epoch to its end ended, or panicked.
    async fn weighed(&mut self, ended: Option<EpochId>) {
        let panicked = self.under_way.iter().find(|(_, task)| task.is_finished());
        let Some(epoch) = ended.or(panicked.map(|(epoch, _)| *epoch)) else {
            return;
        };
        self.under_way.remove(&epoch);
        if ended.is_none() {
            let text = format!("submitting the weights of epoch {epoch} panicked");
            self.shared.alerts.raise(AlertCode::TaskFailed, Some(epoch), text);
        }
        let record = self.shared.state.fetch(epoch).await.ok().flatten();
        match record.map(|record| record.stage.clone()) {
            // The chain may have gone back, and take them again.
            Some(Stage::Missed(_) | Stage::Closed | Stage::Scored | Stage::Intended)
                if self.shared.takes(epoch) =>
            {
                self.weigh(epoch, AGAIN);
            }
            Some(stage) if !stage.is_settled() => {}
            _ => self.course.settle(epoch),
        }
    }

    /// Tells the operator where no miner answers.
    fn look_for_miners(&mut self) {
        let shared = &self.shared;
        let Some(pool) = &shared.pool else { return };
        let roll = shared.roll.current();
        let mut asked = roll
            .iter()
            .filter(|(_, enrolled)| enrolled.refused.is_none())
            .peekable();
        let is_lonely = asked.peek().is_some() && !asked.any(|(node, _)| pool.is_ready(node));
        self.lonely = if is_lonely {
            self.lonely.saturating_add(1)
        } else {
            0
        };
        shared
            .alerts
            .set(AlertCode::NoMinerReady, self.lonely >= LONELY, || {
                format!("none of {} miners answers", roll.len())
            });
    }

    fn enrolled(&self, directory: &Directory) {
        if self.shared.roll.current().is_empty() {
            self.shared.enrol(directory);
        }
    }
}

/// What was gathered at a moment, to tell whether something came since. It keeps nobody's evidence in memory, nor makes the
/// log copy any.
struct Mark {
    epoch: EpochEvidence,
    miners: Vec<Weak<MinerEvidence>>,
}

impl Mark {
    fn of(gathered: &Gathered) -> Self {
        Self {
            epoch: gathered.epoch.clone(),
            miners: gathered.miners.values().map(Arc::downgrade).collect(),
        }
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        // A miner's evidence moves where it changes: while it is marked, nothing else comes in its place.
        self.epoch == other.epoch
            && self.miners.len() == other.miners.len()
            && self
                .miners
                .iter()
                .zip(&other.miners)
                .all(|(one, other)| one.ptr_eq(other))
    }
}

fn gone() -> Error {
    Error::unavailable("chain_gone", "nobody tells any more what epoch it is")
        .with_hint("keep the chain's handle for as long as the node runs")
}

/// How often a chain's phases begin, and whether the next one is late.
struct Pulse {
    last: Instant,
    longest: Duration,
    beats: u32,
}

impl Pulse {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            longest: Duration::ZERO,
            beats: 0,
        }
    }

    fn beat(&mut self) {
        // The first is only what the chain said before anybody listened, the second may come at any moment after it.
        if self.beats >= 2 {
            self.longest = self.longest.max(self.last.elapsed());
        }
        self.last = Instant::now();
        self.beats = self.beats.saturating_add(1);
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(self.last.elapsed().as_secs())
    }

    /// Waits until the silence is three times as long as the longest, and then again as long. Never where that is not known.
    async fn is_late(&self) {
        // Both phases were seen whole.
        if self.beats < 4 {
            std::future::pending::<()>().await;
        }
        let patience = (self.longest * 3).max(PATIENCE);
        let times = u32::try_from(self.silence().as_nanos() / patience.as_nanos()).unwrap_or(u32::MAX);
        sleep_until(self.last + patience.saturating_mul(times.saturating_add(1))).await;
    }
}
