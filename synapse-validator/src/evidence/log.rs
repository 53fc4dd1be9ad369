//! Evidence as it comes in.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synapse_core::{
    BlockNumber, CallerId, EpochId, Member, NodeId, SubnetId,
    probe::{Answer, Finding, Probe, Verdict},
};
use tracing::warn;

use super::{
    EpochEvidence, MinerEvidence,
    entry::{self, Entry},
};
use crate::pool::{Outcome, Sighting, Witness, blames_caller};

/// A caller whose name is that of [all the others](MinerEvidence::OTHERS).
const NAMED_OTHERS: &str = "\"others\"";

/// Takes evidence in, for the epoch that is open. A clone is the same log.
///
/// Give it to the pool ([`MinerPool::witness`](crate::MinerPool::witness)), which tells it how users' requests went, and to
/// the [`ValidatorNode`](crate::ValidatorNode), which asks probes and closes epochs.
///
/// It keeps evidence of the members that it was told of and nobody else, of each at most
/// [`MOST_CALLERS`](MinerEvidence::MOST_CALLERS) callers apart, 16 codes of failures, 64 claims and 64 measures. What a
/// request was asked of [one member alone](crate::pool::Only) is left out: whoever asks that way says so himself
/// ([`probed`](Self::probed)).
#[derive(Clone, Default)]
pub struct EvidenceLog(Arc<Mutex<Option<Gathered>>>);

/// What was gathered in the open epoch. Miners are shared with whoever looks and copied once they change, so that a look
/// holds nobody up.
#[derive(Clone)]
pub(crate) struct Gathered {
    /// All but the miners.
    pub(crate) epoch: EpochEvidence,
    pub(crate) miners: BTreeMap<NodeId, Arc<MinerEvidence>>,
}

impl EvidenceLog {
    /// An empty log. It takes nothing in before an epoch is open.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an epoch, with what was stored of it before a restart, and gives back the one that was open. What comes in from
    /// now on belongs to the new one, which knows the members that are in `evidence`.
    pub fn open(&self, evidence: EpochEvidence) -> Option<EpochEvidence> {
        let opened = Gathered::new(evidence);
        let closed = self.lock().replace(opened);
        closed.map(Gathered::into_evidence)
    }

    /// What is known of the open epoch, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Option<EpochEvidence> {
        self.gathered().map(Gathered::into_evidence)
    }

    /// The same, as long as nothing is copied. Hold it for a moment only: each miner that changes meanwhile is.
    pub(crate) fn gathered(&self) -> Option<Gathered> {
        self.lock().clone()
    }

    /// The last block that was seen.
    pub fn seen(&self, block: BlockNumber) {
        if let Some(open) = self.lock().as_mut() {
            open.epoch.to = open.epoch.to.max(block);
        }
    }

    /// A miner that is judged in this epoch, or why it is not.
    pub fn member(&self, member: &Member, refused: Option<String>) {
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return };
        let fresh = MinerEvidence::of(member, refused);
        match open.miners.get_mut(&member.node) {
            Some(known)
                if (&known.owner, known.stake, known.active_since, &known.refused)
                    == (&fresh.owner, fresh.stake, fresh.active_since, &fresh.refused) => {}
            Some(known) => {
                let known = Arc::make_mut(known);
                (known.owner, known.stake) = (fresh.owner, fresh.stake);
                (known.active_since, known.refused) = (fresh.active_since, fresh.refused);
            }
            None => {
                open.miners.insert(member.node.clone(), Arc::new(fresh));
            }
        }
    }

    /// How a miner answered a probe; without one, that it could not be asked any.
    ///
    /// A refusal counts as asked and as nothing else where the probe had to be refused, and is a failure else, whomever it
    /// blames: this validator knows that what it asked is right. One that blames the caller is `contradicted` as well.
    pub fn probed(&self, miner: &NodeId, probe: Option<&Probe>, answer: &Answer, findings: &[Finding]) {
        let outcome = match &answer.error {
            None => Outcome::Answered,
            Some(error) if probe.is_some_and(|probe| probe.is_met_by(answer)) => {
                Outcome::Refused(error.code().to_owned())
            }
            Some(error) => Outcome::Failed(error.code().to_owned()),
        };
        let entry = Entry {
            first_content: answer.first_content,
            total: answer.total,
            waited: answer
                .total
                .saturating_sub(answer.first_content.unwrap_or_default()),
            text_bytes: answer.text_bytes,
            chunks: answer.chunks,
            outcome: &outcome,
        };
        let blames =
            matches!(&outcome, Outcome::Failed(_)) && answer.error.as_ref().is_some_and(blames_caller);
        self.of(miner, |miner| {
            entry.count_into(&mut miner.probes);
            let contradicted = &mut miner.probes.contradicted;
            *contradicted = contradicted.saturating_add(u64::from(blames));
            for finding in findings {
                let tally = entry::tally_of(&mut miner.claims, &finding.claim);
                match &finding.verdict {
                    Verdict::Kept => tally.kept = tally.kept.saturating_add(1),
                    Verdict::Broken(why) => {
                        tally.broken = tally.broken.saturating_add(1);
                        tally.why = Some(entry::shortened(why));
                    }
                    _ => {}
                }
            }
        });
    }

    /// A measure of your own, of a miner, which replaces the one of this name. One that is not finite is left out, and
    /// logged.
    pub fn measured(&self, miner: &NodeId, name: &str, value: f64) {
        if !value.is_finite() {
            warn!(%miner, measure = name, value, "left out a measure that is not finite");
            return;
        }
        self.of(miner, |evidence| {
            if evidence.measures.len() < entry::MOST_MEASURES || evidence.measures.contains_key(name) {
                evidence.measures.insert(name.to_owned(), value);
            } else {
                warn!(%miner, measure = name, "left out a measure, there are too many");
            }
        });
    }

    /// The open epoch.
    #[must_use]
    pub fn epoch(&self) -> Option<(SubnetId, EpochId)> {
        self.lock()
            .as_ref()
            .map(|open| (open.epoch.subnet, open.epoch.epoch))
    }

    fn of(&self, miner: &NodeId, change: impl FnOnce(&mut MinerEvidence)) {
        if let Some(evidence) = self.lock().as_mut().and_then(|open| open.miners.get_mut(miner)) {
            change(Arc::make_mut(evidence));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Gathered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for EvidenceLog {
    fn saw(&self, sighting: &Sighting) {
        if sighting.only {
            return;
        }
        let entry = Entry {
            first_content: sighting.first_content,
            total: sighting.total,
            waited: sighting.waited,
            text_bytes: sighting.text_bytes,
            chunks: sighting.chunks,
            outcome: &sighting.outcome,
        };
        self.of(&sighting.miner, |miner| {
            let named = sighting.caller.as_ref().map(|caller| match caller.as_str() {
                MinerEvidence::OTHERS => CallerId::from(NAMED_OTHERS),
                _ => caller.clone(),
            });
            let named = named.filter(|caller| caller.as_str().len() <= entry::LONGEST_NAME);
            if let Some(tally) = named.as_ref().and_then(|caller| miner.users.get_mut(caller)) {
                return entry.count_into(tally);
            }
            let others = CallerId::from(MinerEvidence::OTHERS);
            let apart = miner.users.len() - usize::from(miner.users.contains_key(&others));
            let caller = named
                .filter(|_| apart < MinerEvidence::MOST_CALLERS)
                .unwrap_or(others);
            entry.count_into(miner.users.entry(caller).or_default());
        });
    }
}

impl Gathered {
    fn new(mut epoch: EpochEvidence) -> Self {
        let miners = std::mem::take(&mut epoch.miners)
            .into_iter()
            .map(|miner| (miner.miner.clone(), Arc::new(miner)))
            .collect();
        Self { epoch, miners }
    }

    pub(crate) fn into_evidence(mut self) -> EpochEvidence {
        self.epoch.miners = self.miners.into_values().map(Arc::unwrap_or_clone).collect();
        self.epoch
    }
}

impl fmt::Debug for EvidenceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.lock();
        f.debug_struct("EvidenceLog")
            .field("epoch", &open.as_ref().map(|open| open.epoch.epoch))
            .field("miners", &open.as_ref().map_or(0, |open| open.miners.len()))
            .finish()
    }
}
