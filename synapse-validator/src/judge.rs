//! What a subnet's author decides about judging.

use std::sync::Arc;

use synapse_core::{
    Error, Member, ModuleCapabilities,
    probe::{Answer, Finding, Probe, Questions},
};

use crate::{
    evidence::EpochEvidence,
    score::{ScorePolicy, Scores, StandardPolicy},
};

/// What a subnet's author decides: whom to admit, what to ask, and how an epoch's evidence becomes scores. Whoever
/// overrides nothing has a [`StandardValidator`].
///
/// [`ValidatorNode`](crate::ValidatorNode) runs one.
pub trait Validator: Send + Sync + 'static {
    /// Whether a member is asked and judged at all.
    ///
    /// # Errors
    /// Why not; the miner is told.
    fn admit(&self, member: &Member) -> Result<(), Error> {
        let _ = member;
        Ok(())
    }

    /// A question to a member; `None` to ask nothing now. `number` is drawn when it joins, or the node begins, and rises by one
    /// with each question, so that who leaves and comes back is asked others. `seed` is secret, and another for each member,
    /// so that none can tell another what will be asked.
    fn probe(
        &self,
        member: &Member,
        capabilities: &ModuleCapabilities,
        seed: u64,
        number: u64,
    ) -> Option<Probe> {
        let _ = member;
        Questions::new(seed).ask(capabilities, number)
    }

    /// What an answer says about what the member claims.
    fn judge(&self, probe: &Probe, answer: &Answer) -> Vec<Finding> {
        probe.judge(answer)
    }

    /// The policy that makes scores of evidence.
    fn policy(&self) -> &dyn ScorePolicy;

    /// Scores of an epoch; by default, what the policy says.
    fn score(&self, evidence: &EpochEvidence) -> Scores {
        self.policy().score(evidence)
    }
}

/// Admits everybody, asks the standard questions, and scores by a policy.
#[derive(Clone)]
pub struct StandardValidator {
    policy: Arc<dyn ScorePolicy>,
}

impl StandardValidator {
    /// Scores by `policy`.
    pub fn new(policy: impl ScorePolicy) -> Self {
        Self {
            policy: Arc::new(policy),
        }
    }
}

impl Default for StandardValidator {
    fn default() -> Self {
        Self::new(StandardPolicy::default())
    }
}

impl Validator for StandardValidator {
    fn policy(&self) -> &dyn ScorePolicy {
        &*self.policy
    }
}

impl std::fmt::Debug for StandardValidator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandardValidator")
            .field("policy", &self.policy.name())
            .finish()
    }
}
