//! One request: whom it is sent to, one after the other.

use std::sync::Arc;

use synapse_core::{Deadline, Error, Input, Output};
use tokio::time::Instant;

use super::{
    MinerPool,
    attempt::{Attempt, Excluded, ask},
    balance::Candidates,
    failover::Failures,
    miner::Miner,
    snapshot::no_miner,
};

impl MinerPool {
    /// Sends a request to one member after the other, until one answers or no other may be asked.
    ///
    /// # Errors
    /// A refusal as the caller's fault that nobody contradicted, else what [`Failures::into_error`] makes of them all.
    pub(super) async fn dispatch(&self, mut input: Input) -> Result<Output, Error> {
        let miners = self
            .roster
            .snapshot()
            .serving(input.task(), input.model()?)?
            .clone();
        let excluded = input.extensions().get::<Excluded>().cloned();
        let deadline = input.extensions().get::<Deadline>().copied();
        let (mut tried, mut failures, mut attempt) = (Vec::new(), Failures::default(), 0);
        while attempt < self.settings.attempts {
            let Some(index) = self.pick(&miners, &tried, excluded.as_ref()) else {
                break;
            };
            tried.push(index);
            let miner = &miners[index];
            input.extensions_mut().insert(Attempt::new(attempt + 1));
            let started = Instant::now();
            let asked = ask(&self.roster, miner, input.clone(), self.settings.first_content).await;
            let Some(result) = asked else { continue };
            attempt += 1;
            let error = match result {
                Ok(output) => {
                    failures.contradicted(&self.roster);
                    return Ok(output);
                }
                Err(error) => error,
            };
            tracing::debug!(miner = %miner.node(), code = error.code(), %error, "a miner failed before its first content");
            let late = deadline.is_some_and(|deadline| deadline.instant() <= Instant::now());
            if failures.add(miner, error, started.elapsed()).is_break() || late {
                break;
            }
        }
        Err(failures
            .into_error()
            .unwrap_or_else(|| no_miner("no miner is left to ask for this request")))
    }

    /// The next to ask: one that is not ejected, else any that was not tried and is not excluded.
    fn pick(&self, miners: &[Arc<Miner>], tried: &[usize], excluded: Option<&Excluded>) -> Option<usize> {
        let now = Instant::now();
        let left = |index: usize, miner: &Miner| {
            !tried.contains(&index)
                && miner.is_ready()
                && !miner.is_leaving()
                && !excluded.is_some_and(|excluded| excluded.contains(miner.node()))
        };
        let open = |index: usize, miner: &Miner| left(index, miner) && !miner.is_ejected(now);
        self.balance
            .pick(&Candidates::new(miners, &open))
            .filter(|index| miners.get(*index).is_some_and(|miner| open(*index, miner)))
            .or_else(|| {
                self.balance
                    .pick(&Candidates::new(miners, &left))
                    .filter(|index| miners.get(*index).is_some_and(|miner| left(*index, miner)))
            })
    }
}
