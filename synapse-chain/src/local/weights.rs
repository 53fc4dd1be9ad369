//! What validators said their miners are worth.

use synapse_core::{Epoch, EpochId, Error, ErrorKind, NodeId, OperationId, Phase, Role, SubnetId, Weights};

use super::{
    refusal,
    state::{Operation, State, Submitted},
};
use crate::TxHash;

/// Epochs whose weights, payouts and operations are remembered.
const REMEMBERED_EPOCHS: u64 = 16;
/// Operations that a validator may use in an epoch: each is remembered.
const MOST_OPERATIONS: usize = 64;

impl State {
    /// Takes weights for the current epoch; the last ones that a validator submits count.
    pub(super) fn submit_weights(
        &mut self,
        subnet: SubnetId,
        validator: &NodeId,
        operation: &OperationId,
        epoch: EpochId,
        weights: &Weights,
        current: Epoch,
    ) -> Result<(), Error> {
        let submission = Operation {
            epoch,
            weights: digest(weights),
        };
        let operation = (subnet, validator.clone(), operation.clone());
        match self.operations.get(&operation) {
            Some(known) if *known == submission => return Ok(()),
            Some(_) => {
                return Err(Error::invalid(
                    "operation_reused",
                    format!("the operation {} was used for other weights", operation.2),
                )
                .with_hint("make the id from subnet, validator and epoch"));
            }
            None => self.check_weights(subnet, validator, epoch, weights, current)?,
        }
        let key = (subnet, epoch, validator.clone());
        let used = self
            .submissions
            .get(&key)
            .map_or(0, |submitted| submitted.operations);
        if used >= MOST_OPERATIONS {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "too_many_submissions",
                format!("{validator} submitted {MOST_OPERATIONS} times in this epoch already"),
            ));
        }
        let submitted = Submitted {
            weights: weights.clone(),
            operations: used + 1,
        };
        self.submissions.set(key, submitted);
        self.operations.set(operation, submission);
        Ok(())
    }

    fn check_weights(
        &self,
        subnet: SubnetId,
        validator: &NodeId,
        epoch: EpochId,
        weights: &Weights,
        current: Epoch,
    ) -> Result<(), Error> {
        let params = &self.subnet(subnet)?.params;
        let member = &self.member(subnet, validator)?.member;
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
        if epoch != current.id || current.phase != Phase::Weighing {
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
        let is_member = |node: &NodeId| self.members.get(&(subnet, node.clone())).is_some();
        match weights.as_slice().iter().find(|weight| !is_member(&weight.node)) {
            Some(stranger) => Err(refusal::unknown_member(&stranger.node)),
            None => Ok(()),
        }
    }

    /// What validators submitted for an epoch, as the block that is being made sees it, sorted by validator.
    pub(super) fn submitted(&self, subnet: SubnetId, epoch: EpochId) -> Vec<(&NodeId, &Weights)> {
        let mut all: Vec<_> = self
            .submissions
            .run((subnet, epoch, NodeId::from("")), move |key| {
                (key.0, key.1) == (subnet, epoch)
            })
            .map(|((_, _, node), submitted)| (node, &submitted.weights))
            .collect();
        all.sort_by_key(|(node, _)| *node);
        all
    }

    /// Those who changed their keys in this epoch: the old key, and the new one.
    pub(super) fn renamed(&self, subnet: SubnetId) -> impl Iterator<Item = (&(SubnetId, NodeId), &NodeId)> {
        self.rotated
            .run((subnet, NodeId::from("")), move |key| key.0 == subnet)
    }

    /// Forgets what is too old to be asked about once `epoch` has begun.
    pub(super) fn forget_before(&mut self, subnet: SubnetId, epoch: EpochId) {
        let oldest = EpochId(epoch.0.saturating_sub(REMEMBERED_EPOCHS));
        let (nobody, nothing) = (NodeId::from(""), OperationId::from(""));
        let old: Vec<_> = self
            .submissions
            .run((subnet, EpochId(0), nobody.clone()), move |key| {
                key.0 == subnet && key.1 < oldest
            })
            .map(|(key, _)| key.clone())
            .collect();
        old.iter().for_each(|key| self.submissions.remove(key));
        let old: Vec<_> = self
            .payouts
            .run((subnet, EpochId(0)), move |key| key.0 == subnet && key.1 < oldest)
            .map(|(key, _)| *key)
            .collect();
        old.iter().for_each(|key| self.payouts.remove(key));
        let old: Vec<_> = self
            .operations
            .run((subnet, nobody.clone(), nothing), move |key| key.0 == subnet)
            .filter(|(_, operation)| operation.epoch < oldest)
            .map(|(key, _)| key.clone())
            .collect();
        old.iter().for_each(|key| self.operations.remove(key));
        let old: Vec<_> = self
            .rotated
            .run((subnet, nobody), move |key| key.0 == subnet)
            .map(|(key, _)| key.clone())
            .collect();
        old.iter().for_each(|key| self.rotated.remove(key));
    }
}

fn digest(weights: &Weights) -> TxHash {
    TxHash::of(&serde_json::to_vec(weights).expect("names and numbers have a JSON form"))
}
