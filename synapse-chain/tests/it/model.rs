//! A local chain once more, as simple as can be: lists and loops, one subnet.

use std::collections::BTreeMap;

/// Keys that take part, by number.
pub(crate) const KEYS: usize = 7;
pub(crate) const EPOCH: u64 = 10;
pub(crate) const WEIGHING: u64 = 4;
pub(crate) const PLACES: usize = 4;
pub(crate) const MIN_STAKE: u64 = 10;
pub(crate) const MIN_VALIDATOR: u64 = 20;
pub(crate) const FEE: u64 = 3;
pub(crate) const IMMUNITY: u64 = 6;
pub(crate) const EMISSION: u64 = 101;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: usize,
    pub(crate) owner: usize,
    pub(crate) validator: bool,
    pub(crate) stake: u64,
    pub(crate) since: u64,
    earned: u64,
    rotated: Option<u64>,
    /// Where it took another's place: the block after which its epoch is paid out.
    bound: Option<u64>,
}

/// Who calls: the process that keeps the chain, or whoever signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Nobody,
    Key(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) height: u64,
    pub(crate) balances: [u64; KEYS],
    pub(crate) nonces: [u64; KEYS],
    pub(crate) members: Vec<Member>,
    pub(crate) issued: u64,
    pub(crate) burned: u64,
    /// The addresses' order decides ties.
    pub(crate) rank: [usize; KEYS],
    weights: BTreeMap<usize, Vec<(usize, u64)>>,
    renamed: Vec<(usize, usize)>,
    pub(crate) paid: Vec<(usize, u64)>,
    /// Whether each call makes a block.
    pub(crate) blocks: bool,
}

type Verdict = Result<(), &'static str>;

impl Model {
    /// Does a call, in a block of its own where calls make blocks.
    pub(crate) fn call(&mut self, by: By, does: impl FnOnce(&mut Self, u64) -> Verdict) -> Verdict {
        if let By::Key(key) = by {
            let member = self.members.iter().any(|member| member.node == key);
            if self.balances[key] == 0 && self.nonces[key] == 0 && !member {
                return Err("unknown_account");
            }
            self.nonces[key] += 1;
        }
        let verdict = does(self, self.height + u64::from(self.blocks));
        if self.blocks {
            self.step();
        }
        verdict
    }

    pub(crate) fn step(&mut self) {
        self.height += 1;
        if self.height.is_multiple_of(EPOCH) {
            self.pay_out();
            self.weights.clear();
            self.renamed.clear();
        }
    }

    pub(crate) fn fund(&mut self, who: usize, amount: u64) -> Verdict {
        self.issued = self.issued.checked_add(amount).ok_or("amount_overflow")?;
        self.balances[who] += amount;
        Ok(())
    }

    fn take(&mut self, who: usize, amount: u128) -> Verdict {
        if u128::from(self.balances[who]) < amount {
            return Err("insufficient_balance");
        }
        self.balances[who] -= u64::try_from(amount).unwrap();
        Ok(())
    }

    pub(crate) fn transfer(&mut self, from: usize, to: usize, amount: u64) -> Verdict {
        self.take(from, u128::from(amount))?;
        self.balances[to] += amount;
        Ok(())
    }

    fn find(&self, node: usize) -> Result<usize, &'static str> {
        let at = self.members.iter().position(|member| member.node == node);
        at.ok_or("unknown_member")
    }

    fn owned(&self, by: By, node: usize) -> Result<usize, &'static str> {
        let at = self.find(node)?;
        match by {
            By::Key(key) if key != self.members[at].owner => Err("not_the_owner"),
            _ => Ok(at),
        }
    }

    pub(crate) fn register(
        &mut self,
        by: By,
        node: usize,
        validator: bool,
        stake: u64,
        block: u64,
    ) -> Verdict {
        let known = self.find(node).ok();
        if known.is_some() {
            self.owned(by, node)?;
        }
        if stake < MIN_STAKE {
            return Err("insufficient_stake");
        }
        if let Some(at) = known {
            let member = self.members[at];
            if member.validator != validator {
                return Err("role_taken");
            }
            if stake < member.stake {
                self.may_go(&member, block)?;
            }
            self.take(member.owner, u128::from(stake.saturating_sub(member.stake)))?;
            self.balances[member.owner] += member.stake.saturating_sub(stake);
            self.members[at].stake = stake;
            return Ok(());
        }
        let loser = if self.members.len() < PLACES {
            None
        } else {
            let validators = self.members.iter().filter(|member| member.validator).count();
            let reserved = validator && validators < PLACES / 4 && stake >= MIN_VALIDATOR;
            let of_miners = reserved
                .then(|| self.loser(false, validator, stake, block))
                .flatten();
            let loser = of_miners.or_else(|| self.loser(validator, validator, stake, block));
            Some(loser.ok_or("subnet_full")?)
        };
        let owner = match by {
            By::Nobody => node,
            By::Key(key) => key,
        };
        self.take(owner, u128::from(stake) + u128::from(FEE))?;
        self.burned += FEE;
        if let Some(loser) = loser {
            self.remove(self.find(loser)?);
        }
        let bound = loser.map(|_| (self.height_before() / EPOCH + 1) * EPOCH);
        self.members.push(Member {
            bound,
            node,
            owner,
            validator,
            stake,
            since: block,
            earned: 0,
            rotated: None,
        });
        Ok(())
    }

    /// Who of the miners or the validators loses its place to a newcomer.
    fn loser(&self, of_validators: bool, to_validator: bool, stake: u64, block: u64) -> Option<usize> {
        let mut losers: Vec<Member> = self.members.clone();
        losers.retain(|member| member.validator == of_validators && self.is_settled(member, block));
        losers.retain(|member| !to_validator || member.stake < stake);
        losers.sort_by_key(|member| {
            let earned = if of_validators { 0 } else { member.earned };
            (earned, member.stake, member.since, self.rank[member.node])
        });
        losers.first().map(|member| member.node)
    }

    fn is_settled(&self, member: &Member, block: u64) -> bool {
        member.since + IMMUNITY <= block && member.bound.is_none_or(|bound| bound <= self.height_before())
    }

    fn may_go(&self, member: &Member, block: u64) -> Verdict {
        if member.bound.is_some() && !self.is_settled(member, block) {
            return Err("stake_bound");
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, by: By, node: usize, block: u64) -> Verdict {
        let at = self.owned(by, node)?;
        self.may_go(&self.members[at], block)?;
        self.remove(at);
        Ok(())
    }

    fn remove(&mut self, at: usize) {
        let member = self.members.remove(at);
        self.balances[member.owner] += member.stake;
    }

    pub(crate) fn serve(&mut self, by: By, node: usize) -> Verdict {
        match by {
            By::Key(key) if key != node => Err("not_the_node"),
            _ => self.find(node).map(|_| ()),
        }
    }

    pub(crate) fn rotate(&mut self, by: By, node: usize, to: usize) -> Verdict {
        let at = self.owned(by, node)?;
        if self.find(to).is_ok() {
            return Err("already_a_member");
        }
        let epoch = self.height_before() / EPOCH;
        let member = &mut self.members[at];
        if member.rotated == Some(epoch) {
            return Err("rotated_already");
        }
        if member.owner == member.node {
            member.owner = to;
        }
        (member.node, member.rotated) = (to, Some(epoch));
        self.renamed.retain(|(old, _)| *old != node);
        self.renamed.push((node, to));
        Ok(())
    }

    /// The block that followers see while a call takes effect.
    fn height_before(&self) -> u64 {
        self.height
    }

    pub(crate) fn weigh(
        &mut self,
        by: By,
        validator: usize,
        epoch: u64,
        weights: &[(usize, u64)],
    ) -> Verdict {
        if matches!(by, By::Key(key) if key != validator) {
            return Err("not_the_node");
        }
        let member = self.members[self.find(validator)?];
        if !member.validator || member.stake < MIN_VALIDATOR {
            return Err("may_not_weigh");
        }
        let block = self.height_before();
        if epoch != block / EPOCH || block % EPOCH < EPOCH - WEIGHING {
            return Err("epoch_closed");
        }
        for (node, _) in weights {
            self.find(*node)?;
        }
        self.weights.insert(validator, weights.to_vec());
        Ok(())
    }

    fn bearer(&self, name: usize) -> Option<usize> {
        let renamed = || {
            self.renamed
                .iter()
                .find(|(old, _)| *old == name)
                .map(|(_, new)| *new)
        };
        let at = self.find(name).ok();
        at.or_else(|| self.find(renamed()?).ok())
    }

    fn pay_out(&mut self) {
        self.paid.clear();
        if self.weights.is_empty() {
            return;
        }
        // Each validator's opinion: under its own name, or else under the name that it had.
        let mut opinions: BTreeMap<usize, (bool, Vec<(usize, u64)>)> = BTreeMap::new();
        for (name, weights) in &self.weights {
            let Some(at) = self.bearer(*name) else { continue };
            let own = self.members[at].node == *name;
            if self.members[at].validator && (own || !opinions.get(&at).is_some_and(|known| known.0)) {
                opinions.insert(at, (own, weights.clone()));
            }
        }
        let no_stake = opinions.keys().all(|at| self.members[*at].stake == 0);
        let stake_of = |at: usize| if no_stake { 1 } else { self.members[at].stake };
        let total: u64 = opinions.keys().map(|at| stake_of(*at)).sum();
        let mut scores: Vec<(usize, u128)> = Vec::new();
        for (miner, member) in self
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| !member.validator)
        {
            let mut given: Vec<(u128, u64)> = Vec::new();
            for (validator, (_, weights)) in &opinions {
                let of_miners: Vec<(usize, u64)> = weights
                    .iter()
                    .filter_map(|(name, value)| Some((self.bearer(*name)?, *value)))
                    .filter(|(at, _)| !self.members[*at].validator)
                    .collect();
                let sum: u64 = of_miners.iter().map(|(_, value)| value).sum();
                let mine: u64 = of_miners
                    .iter()
                    .filter(|(at, _)| *at == miner)
                    .map(|(_, value)| value)
                    .sum();
                if mine > 0 {
                    given.push((
                        u128::from(mine) * (1 << 32) / u128::from(sum),
                        stake_of(*validator),
                    ));
                }
            }
            let backed = |weight: u128| {
                given
                    .iter()
                    .filter(|(other, _)| *other >= weight)
                    .map(|(_, s)| s)
                    .sum::<u64>()
            };
            let score = given
                .iter()
                .map(|(weight, _)| *weight)
                .filter(|weight| 2 * backed(*weight) >= total)
                .max();
            scores.push((member.node, score.unwrap_or(0)));
        }
        self.members.iter_mut().for_each(|member| member.earned = 0);
        let sum: u128 = scores.iter().map(|(_, score)| score).sum();
        if sum == 0 {
            return;
        }
        let emission = EMISSION.min(u64::MAX - self.issued);
        let exact = |score: u128| u128::from(emission) * score;
        let mut left = emission;
        let mut shares: Vec<(usize, u64, u128)> = Vec::new();
        for (node, score) in scores {
            let share = u64::try_from(exact(score) / sum).unwrap();
            left -= share;
            shares.push((node, share, exact(score) % sum));
        }
        shares.sort_by_key(|(node, _, remainder)| (std::cmp::Reverse(*remainder), self.rank[*node]));
        for share in shares.iter_mut().take(usize::try_from(left).unwrap()) {
            share.1 += 1;
        }
        for (node, share, _) in shares.into_iter().filter(|share| share.1 > 0) {
            let at = self.find(node).unwrap();
            self.members[at].earned = share;
            self.balances[self.members[at].owner] += share;
            self.issued += share;
            self.paid.push((node, share));
        }
        self.paid.sort_by_key(|(node, _)| self.rank[*node]);
    }
}
