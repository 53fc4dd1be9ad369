//! What an epoch pays out: the stake-weighted median of what validators said.
//!
//! Each validator's weights of the subnet's miners are scaled so that they sum to 2³² (rounded down each). A miner's
//! score is the largest weight that validators with at least half of the stake gave it or exceeded; of the stake of
//! those that submitted, and one each where none has any. The emission is split by score, rounded down; what is left
//! over goes, a unit each, to those who lost most by the rounding, then by name. Where no score is above zero, nothing
//! is issued. Integers only, so that every node that replays the blocks comes to the same.

use std::collections::{BTreeMap, BTreeSet};

use synapse_core::{EpochId, Member, NodeId, Role, Stake, SubnetId, Weights};

use super::state::State;

/// What each validator's weights sum to.
const WHOLE: u128 = 1 << 32;

impl State {
    /// Ends an epoch of a subnet: pays its members' owners, and remembers who earned what.
    pub(super) fn end_epoch(&mut self, subnet: SubnetId, epoch: EpochId) {
        let submitted = self.submitted(subnet, epoch);
        if !submitted.is_empty() {
            self.pay_out(subnet, epoch, &submitted);
        }
        self.forget_before(subnet, EpochId(epoch.0 + 1));
    }

    fn pay_out(&mut self, subnet: SubnetId, epoch: EpochId, submitted: &[(NodeId, Weights)]) {
        let Some(record) = self.subnets.get(&subnet) else {
            return;
        };
        let emission = record.params.emission.0.min(self.issuable());
        let shares = split(emission, &self.scores(subnet, submitted));
        let before: Vec<NodeId> = self
            .members_of(subnet)
            .filter(|record| record.earned.0 > 0)
            .map(|record| record.member.node.clone())
            .collect();
        for node in before.iter().filter(|node| !shares.contains_key(*node)) {
            self.note_earned(subnet, node, Stake(0));
        }
        let paid: Vec<(NodeId, Stake)> = shares.into_iter().filter(|(_, share)| share.0 > 0).collect();
        for (node, share) in &paid {
            if let Some(owner) = self.note_earned(subnet, node, *share) {
                self.issue(&owner, *share)
                    .expect("no more is paid out than can be issued");
            }
        }
        self.payouts.set((subnet, epoch), paid);
    }

    /// Writes down what a member earned; returns its owner.
    fn note_earned(&mut self, subnet: SubnetId, node: &NodeId, earned: Stake) -> Option<NodeId> {
        let mut record = self.members.get(&(subnet, node.clone()))?.clone();
        let owner = record.member.owner.clone();
        record.earned = earned;
        self.members.set((subnet, node.clone()), record);
        Some(owner)
    }

    /// The miners' scores, by miner.
    fn scores(&self, subnet: SubnetId, submitted: &[(NodeId, Weights)]) -> BTreeMap<NodeId, u128> {
        let mut opinions: Vec<(u128, &Weights)> = Vec::new();
        let mut heard = BTreeSet::new();
        // Whoever changed its key in this epoch may have submitted under both: the new one counts.
        let (current, renamed): (Vec<_>, Vec<_>) = submitted
            .iter()
            .partition(|(node, _)| self.members.get(&(subnet, node.clone())).is_some());
        for (node, weights) in current.into_iter().chain(renamed) {
            if let Some(validator) = self.bearer(subnet, node)
                && validator.role == Role::Validator
                && heard.insert(&validator.node)
            {
                opinions.push((u128::from(validator.stake.0), weights));
            }
        }
        if opinions.iter().all(|(stake, _)| *stake == 0) {
            opinions.iter_mut().for_each(|(stake, _)| *stake = 1);
        }
        let total: u128 = opinions.iter().map(|(stake, _)| stake).sum();
        let mut given: BTreeMap<NodeId, Vec<(u128, u128)>> = BTreeMap::new();
        for (stake, weights) in opinions {
            for (miner, weight) in self.scaled(subnet, weights) {
                given.entry(miner).or_default().push((weight, stake));
            }
        }
        given
            .into_iter()
            .map(|(miner, given)| (miner, median(given, total)))
            .collect()
    }

    /// A validator's weights of those who are miners now, scaled to sum to no more than [`WHOLE`].
    fn scaled(&self, subnet: SubnetId, weights: &Weights) -> BTreeMap<NodeId, u128> {
        let mut of_miners: BTreeMap<NodeId, u128> = BTreeMap::new();
        for weight in weights.as_slice() {
            if let Some(miner) = self.bearer(subnet, &weight.node)
                && miner.role == Role::Miner
            {
                *of_miners.entry(miner.node.clone()).or_default() += u128::from(weight.value);
            }
        }
        let sum: u128 = of_miners.values().sum();
        of_miners.retain(|_, weight| *weight > 0);
        of_miners
            .values_mut()
            .for_each(|weight| *weight = *weight * WHOLE / sum);
        of_miners
    }

    /// The member of this name, or the one that had it when the epoch began.
    fn bearer(&self, subnet: SubnetId, name: &NodeId) -> Option<&Member> {
        let of = |node: &NodeId| {
            self.members
                .get(&(subnet, node.clone()))
                .map(|record| &record.member)
        };
        of(name).or_else(|| of(self.rotated.get(&(subnet, name.clone()))?))
    }
}

/// The largest weight that those with at least half of the stake gave or exceeded; who gave none gave zero.
fn median(mut given: Vec<(u128, u128)>, total: u128) -> u128 {
    given.sort_unstable_by(|a, b| b.cmp(a));
    let mut behind = 0;
    for (weight, stake) in given {
        behind += stake;
        if 2 * behind >= total {
            return weight;
        }
    }
    0
}

/// Splits an amount by scores, whole.
fn split(amount: u64, scores: &BTreeMap<NodeId, u128>) -> BTreeMap<NodeId, Stake> {
    let total: u128 = scores.values().sum();
    if total == 0 {
        return BTreeMap::new();
    }
    let part = |score: u128| u128::from(amount) * score;
    let mut shares: BTreeMap<NodeId, Stake> = scores
        .iter()
        .map(|(node, score)| {
            let share = part(*score) / total;
            (
                node.clone(),
                Stake(u64::try_from(share).expect("a part is no more than the whole")),
            )
        })
        .collect();
    let given: u64 = shares.values().map(|share| share.0).sum();
    let mut by_remainder: Vec<(u128, &NodeId)> = scores
        .iter()
        .map(|(node, score)| (part(*score) % total, node))
        .collect();
    by_remainder.sort_by(|(a, of_a), (b, of_b)| b.cmp(a).then(of_a.cmp(of_b)));
    let left = usize::try_from(amount - given).expect("fewer units are left over than there are miners");
    for (_, node) in by_remainder.into_iter().take(left) {
        shares.get_mut(node).expect("every score has its share").0 += 1;
    }
    shares
}
