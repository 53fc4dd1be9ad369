//! What validators said their miners are worth.

use std::collections::BTreeMap;

use synapse_core::{
    Epoch, EpochId, Error, ErrorKind, NodeId, OperationId, Phase, Role, SubnetParams, Weights,
};

use super::{members::Members, refusal};

/// Epochs whose weights, and whose operations, are remembered.
const REMEMBERED_EPOCHS: u64 = 16;
/// Operations that a validator may use in an epoch: each is remembered.
const MOST_OPERATIONS: usize = 64;

/// Weights by epoch and validator, and the operations that brought them.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    weights: BTreeMap<EpochId, BTreeMap<NodeId, Submitted>>,
    operations: BTreeMap<(NodeId, OperationId), Submission>,
}

/// What a validator submitted in an epoch.
#[derive(Debug)]
struct Submitted {
    /// The last of them.
    weights: Weights,
    /// How many operations brought some.
    operations: usize,
}

/// One submission, to tell a repetition from another one under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) validator: NodeId,
    pub(super) epoch: EpochId,
    pub(super) weights: Weights,
}

impl Submissions {
    pub(super) fn of(&self, epoch: EpochId) -> Vec<(NodeId, Weights)> {
        let submitted = self.weights.get(&epoch);
        submitted
            .into_iter()
            .flatten()
            .map(|(node, submitted)| (node.clone(), submitted.weights.clone()))
            .collect()
    }

    pub(super) fn forget_before(&mut self, epoch: EpochId) {
        let oldest = EpochId(epoch.0.saturating_sub(REMEMBERED_EPOCHS));
        self.weights = self.weights.split_off(&oldest);
        self.operations.retain(|_, submission| submission.epoch >= oldest);
    }

    /// Takes weights for the current epoch; the last ones that a validator submits count.
    pub(super) fn submit(
        &mut self,
        operation: OperationId,
        submission: Submission,
        current: Epoch,
        params: &SubnetParams,
        members: &Members,
    ) -> Result<(), Error> {
        let operation = (submission.validator.clone(), operation);
        match self.operations.get(&operation) {
            Some(known) if *known == submission => return Ok(()),
            Some(_) => {
                return Err(Error::invalid(
                    "operation_reused",
                    format!("the operation {} was used for other weights", operation.1),
                )
                .with_hint("make the id from subnet, validator and epoch"));
            }
            None => check(&submission, current, params, members)?,
        }
        let of_epoch = self.weights.entry(submission.epoch).or_default();
        let used = of_epoch
            .get(&submission.validator)
            .map_or(0, |submitted| submitted.operations);
        if used >= MOST_OPERATIONS {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "too_many_submissions",
                format!(
                    "{} submitted {MOST_OPERATIONS} times in this epoch already",
                    submission.validator
                ),
            ));
        }
        let submitted = Submitted {
            weights: submission.weights.clone(),
            operations: used + 1,
        };
        of_epoch.insert(submission.validator.clone(), submitted);
        self.operations.insert(operation, submission);
        Ok(())
    }
}

fn check(
    submission: &Submission,
    current: Epoch,
    params: &SubnetParams,
    members: &Members,
) -> Result<(), Error> {
    let Submission {
        validator,
        epoch,
        weights,
    } = submission;
    let member = members
        .get(validator)
        .ok_or_else(|| refusal::unknown_member(validator))?;
    if member.role != Role::Validator || member.stake < params.min_validator_stake {
        return Err(Error::new(
            ErrorKind::Forbidden,
            "may_not_weigh",
            format!(
                "{validator} may not set weights: that takes a validator with a stake of {}",
                params.min_validator_stake
            ),
        ));
    }
    if *epoch != current.id || current.phase != Phase::Weighing {
        return Err(Error::invalid(
            "epoch_closed",
            format!(
                "weights for epoch {epoch} are not taken now: it is epoch {}, which takes them from block {} to {}",
                current.id,
                current.ends.0 - params.weighing_blocks,
                current.ends.0 - 1,
            ),
        ));
    }
    match weights
        .as_slice()
        .iter()
        .find(|weight| members.get(&weight.node).is_none())
    {
        Some(stranger) => Err(refusal::unknown_member(&stranger.node)),
        None => Ok(()),
    }
}
