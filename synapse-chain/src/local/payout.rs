//! What an epoch pays out: the stake-weighted median of what validators said.
//!
//! Each validator's weights of the subnet's miners are scaled so that they sum to 2³² (rounded down each). A miner's
//! score is the largest weight that validators with at least half of the stake gave it or exceeded; of the stake of
//! those that submitted, and one each where none has any. The emission is split by score, rounded down; what is left
//! over goes, a unit each, to those who lost most by the rounding, then by name. Where no score is above zero, nothing
//! is issued. Integers only, so that every node that replays the blocks comes to the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synapse_core::{EpochId, Member, NodeId, Role, Stake, SubnetId, Weights};

use super::state::State;

/// What each validator's weights sum to.
const WHOLE: u128 = 1 << 32;

impl State {
    /// Ends an epoch of a subnet: pays its members' owners, and remembers who earned what.
    pub(super) fn end_epoch(&mut self, subnet: SubnetId, epoch: EpochId) {
        if let Some(shares) = self.shares(subnet, epoch) {
            self.pay_out(subnet, epoch, shares);
        }
        self.forget_before(subnet, EpochId(epoch.0 + 1));
    }

    /// What each miner gets; `None` where nobody submitted weights.
    fn shares(&self, subnet: SubnetId, epoch: EpochId) -> Option<BTreeMap<NodeId, Stake>> {
        let submitted = self.submitted(subnet, epoch);
        let record = self.subnets.get(&subnet).filter(|_| !submitted.is_empty())?;
        let emission = record.params.emission.0.min(self.issuable());
        let mut shares = split(emission, &self.scores(subnet, &submitted));
        shares.retain(|_, share| share.0 > 0);
        Some(shares)
    }

    fn pay_out(&mut self, subnet: SubnetId, epoch: EpochId, shares: BTreeMap<NodeId, Stake>) {
        let before: Vec<NodeId> = self
            .members_of(subnet)
            .filter(|record| record.earned.0 > 0)
            .map(|record| record.member.node.clone())
            .collect();
        for node in before.iter().filter(|node| !shares.contains_key(*node)) {
            self.note_earned(subnet, node, Stake(0));
        }
        for (node, share) in &shares {
            if let Some(owner) = self.note_earned(subnet, node, *share) {
                self.issue(&owner, *share)
                    .expect("no more is paid out than can be issued");
            }
        }
        self.payouts.set((subnet, epoch), shares.into_iter().collect());
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
    fn scores(&self, subnet: SubnetId, submitted: &[(&NodeId, &Weights)]) -> BTreeMap<NodeId, u128> {
        let names = self.names(subnet);
        let mut opinions: Vec<(u128, &Weights)> = Vec::new();
        let mut heard = BTreeSet::new();
        // Whoever changed its key in this epoch may have submitted under both: the new one counts.
        let (current, renamed): (Vec<_>, Vec<_>) = submitted
            .iter()
            .partition(|(node, _)| self.members.get(&(subnet, (*node).clone())).is_some());
        for (node, weights) in current.into_iter().chain(renamed) {
            if let Some(validator) = names.get(node.as_str())
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
        let mut given: HashMap<&str, Vec<(u128, u128)>> = HashMap::new();
        for (stake, weights) in opinions {
            for (miner, weight) in scaled(&names, weights) {
                given.entry(miner).or_default().push((weight, stake));
            }
        }
        given
            .into_iter()
            .map(|(miner, given)| (miner.into(), median(given, total)))
            .collect()
    }

    /// The members by their names, and by those that they had when the epoch began.
    fn names(&self, subnet: SubnetId) -> HashMap<&str, &Member> {
        let mut names: HashMap<&str, &Member> = self
            .members_of(subnet)
            .map(|record| (record.member.node.as_str(), &record.member))
            .collect();
        for ((_, old), new) in self.renamed(subnet) {
            if let Some(record) = self.members.get(&(subnet, new.clone())) {
                names.entry(old.as_str()).or_insert(&record.member);
            }
        }
        names
    }
}

/// A validator's weights of those who are miners now, scaled to sum to no more than [`WHOLE`].
fn scaled<'a>(
    names: &HashMap<&str, &'a Member>,
    weights: &Weights,
) -> impl Iterator<Item = (&'a str, u128)> + use<'a> {
    let mut of_miners: HashMap<&str, u128> = HashMap::with_capacity(weights.as_slice().len());
    for weight in weights.as_slice().iter().filter(|weight| weight.value > 0) {
        if let Some(miner) = names.get(weight.node.as_str())
            && miner.role == Role::Miner
        {
            *of_miners.entry(miner.node.as_str()).or_default() += u128::from(weight.value);
        }
    }
    let sum: u128 = of_miners.values().sum();
    of_miners
        .into_iter()
        .map(move |(miner, weight)| (miner, weight * WHOLE / sum))
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
