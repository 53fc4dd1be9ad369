//! What a validator saw of one miner in an epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synapse_core::{BlockNumber, CallerId, Member, NodeId, Stake};

use super::Distribution;

/// What a validator saw of one miner in an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MinerEvidence {
    /// Who it is.
    pub miner: NodeId,
    /// Who owns it, and earns what it earns.
    pub owner: NodeId,
    /// What it staked.
    #[serde(default)]
    pub stake: Stake,
    /// Since which block it is a member.
    #[serde(default)]
    pub active_since: BlockNumber,
    /// Why it was not admitted; `None` of one that was.
    #[serde(default)]
    pub refused: Option<String>,
    /// How it answered what this validator asked.
    #[serde(default)]
    pub probes: Tally,
    /// How it answered users, each apart: a caller may be the miner himself. Of more than
    /// [`MOST_CALLERS`](Self::MOST_CALLERS) the rest are one.
    #[serde(default)]
    pub users: BTreeMap<CallerId, Tally>,
    /// What it claims, and how often that was kept: by the [kind](synapse_core::probe::Claim::kind) of claim and, of one that
    /// is about a model, its name after a space. `context smollm2` is all that it claims of that model's context, whatever
    /// the number; `context other` is what is beyond 64 claims.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimTally>,
    /// Measures of your own, by name: what a verification found, for one. Whatever is not finite is left out where it
    /// is recorded, and is absent here.
    #[serde(default)]
    pub measures: BTreeMap<String, f64>,
}

impl MinerEvidence {
    /// Callers that are counted apart.
    pub const MOST_CALLERS: usize = 64;

    /// The caller that is all those beyond [`MOST_CALLERS`](Self::MOST_CALLERS), and those whom nobody knows. One who is called
    /// so is kept apart, in quotes.
    pub const OTHERS: &str = "others";

    /// Nothing yet.
    #[must_use]
    pub fn new(miner: NodeId) -> Self {
        Self {
            owner: miner.clone(),
            miner,
            stake: Stake::default(),
            active_since: BlockNumber::default(),
            refused: None,
            probes: Tally::default(),
            users: BTreeMap::new(),
            claims: BTreeMap::new(),
            measures: BTreeMap::new(),
        }
    }

    /// Nothing yet of a member, which was not admitted where `refused` says why.
    #[must_use]
    pub fn of(member: &Member, refused: Option<String>) -> Self {
        Self {
            owner: member.owner.clone(),
            stake: member.stake,
            active_since: member.active_since,
            refused,
            ..Self::new(member.node.clone())
        }
    }
}

impl Tally {
    /// Requests that failed, with whatever code.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Requests that say whether it answers: those that it answered or failed.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.answered.saturating_add(self.failures())
    }
}

/// How requests went, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that were sent to it.
    pub asked: u64,
    /// Replies that were whole.
    pub answered: u64,
    /// Failures before any content and within a reply, by the error's code.
    pub failed: BTreeMap<String, u64>,
    /// Refusals as the caller's fault which somebody contradicted: of what users asked, another miner, who answered it; of
    /// probes, this validator, who knows that what it asked is right.
    ///
    /// Of probes they are among `failed` too. Of users' requests they are not: a miner may send what is truly wrong, and answer
    /// it himself. `asked` less `answered`, `failed`, these and `dropped` are refusals that nobody contradicted, which are
    /// nobody's failure.
    pub contradicted: u64,
    /// Replies that their client did not wait for.
    pub dropped: u64,
    /// Tokens of the replies, estimated from their text at four bytes each.
    pub output_tokens: u64,
    /// Microseconds to the first content. Where there was none within ten seconds or more, after which the client left or the
    /// request failed, it is that long.
    pub first_content_us: Distribution,
    /// Thousandths of a token a second, as a [`Pace`](synapse_core::probe::Pace) has them: from the first content to the end,
    /// or as far as it came. Of users' requests it is the time in which the miner was waited for; where the client
    /// took longer to read than the miner to write, there is none.
    pub speed_mtps: Distribution,
}

/// How often a claim was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClaimTally {
    /// Answers that bear it out.
    pub kept: u64,
    /// Answers that show it to be false.
    pub broken: u64,
    /// What the last of those showed.
    pub why: Option<String>,
}
