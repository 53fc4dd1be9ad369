//! What there is to do when the chain says where it is. Nothing but a decision: no clock, no disk, no chain.

use std::collections::BTreeSet;

use synapse_core::{Epoch, EpochId, Phase};

use crate::state::Stage;

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// What is seen from now on belongs to this epoch; the one before is closed.
    Turn(EpochId),
    /// The chain takes weights for this epoch.
    Weigh(EpochId),
    /// The chain takes none any more.
    Late(EpochId),
}

/// How far a node got.
///
/// Weights for an epoch are taken in its last blocks, so what is seen in those belongs to the next one. The epoch that
/// evidence is gathered for only ever rises: whatever the chain does, no evidence comes to an epoch that was closed.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The epoch that evidence is gathered for.
    open: Option<EpochId>,
    /// None before this is opened.
    floor: EpochId,
    /// Closed epochs with something left to do.
    unsettled: BTreeSet<EpochId>,
    before: Option<Epoch>,
    /// The furthest that the chain was, while it is behind that.
    furthest: Option<(EpochId, bool)>,
    /// The chain was further behind what is gathered than it ever is, and has not come there since.
    is_astray: bool,
}

impl Course {
    /// Goes on from what was stored.
    pub(super) fn resumed<'a>(stored: impl IntoIterator<Item = (EpochId, &'a Stage)>) -> Self {
        let mut course = Self::default();
        for (epoch, stage) in stored {
            if epoch < course.floor {
                continue;
            }
            // Only the last one can be open.
            course.unsettled.extend(course.open.take());
            course.floor = epoch;
            match stage {
                Stage::Open => course.open = Some(epoch),
                stage => {
                    course.floor = EpochId(epoch.0.saturating_add(1));
                    if !stage.is_settled() {
                        course.unsettled.insert(epoch);
                    }
                }
            }
        }
        course
    }

    /// The epoch that evidence is gathered for.
    pub(super) fn open(&self) -> Option<EpochId> {
        self.open
    }

    /// Nothing is left to do for `epoch`.
    pub(super) fn settle(&mut self, epoch: EpochId) {
        self.unsettled.remove(&epoch);
    }

    /// Whether the chain is behind where it was.
    pub(super) fn is_behind(&self) -> bool {
        self.before.map(place) < self.furthest
    }

    /// The epoch that evidence is gathered for, while the chain has not come there after it was more than one behind: what is
    /// stored is of another chain, say.
    pub(super) fn astray(&self) -> Option<EpochId> {
        self.open.filter(|_| self.is_astray)
    }

    /// What there is to do now that the chain is `now`, where `stage` says how far the epoch that it weighs got.
    pub(super) fn advance(&mut self, now: Epoch, stage: Option<&Stage>) -> Vec<Step> {
        // An epoch without blocks has none to see anything in, nor to take weights in. A chain that is not known yet says
        // that too.
        if now.starts >= now.ends {
            return Vec::new();
        }
        let mut steps = Vec::new();
        let weighing = (now.phase == Phase::Weighing).then_some(now.id);
        let theirs = weighing.map_or(now.id, |id| EpochId(id.0.saturating_add(1)));
        let gathers = theirs.max(self.floor);
        let behind = gathers.0.saturating_sub(theirs.0);
        self.is_astray = behind > 1 || (self.is_astray && behind > 0);
        if self.open.is_none_or(|open| open < gathers) {
            self.unsettled.extend(self.open.replace(gathers));
            self.floor = gathers;
            steps.push(Step::Turn(gathers));
        }
        // A chain that went back may have forgotten what it had; of one that was not seen, nobody knows whether it did.
        let came_back = self.before.is_none_or(|before| place(before) != place(now));
        match (weighing, stage) {
            (Some(id), Some(Stage::Submitted)) if came_back => steps.push(Step::Weigh(id)),
            (Some(id), Some(Stage::Missed(_))) => {
                self.unsettled.insert(id);
            }
            _ => {}
        }
        for epoch in &self.unsettled {
            if weighing == Some(*epoch) {
                steps.push(Step::Weigh(*epoch));
            } else if *epoch < now.id {
                steps.push(Step::Late(*epoch));
            }
        }
        self.before = Some(now);
        self.furthest = self.furthest.max(Some(place(now)));
        steps
    }
}

fn place(epoch: Epoch) -> (EpochId, bool) {
    (epoch.id, epoch.phase == Phase::Weighing)
}
