//! One request: whom it is sent to, one after the other.

use std::sync::Arc;

use synapse_core::{Deadline, Error, Input, Output};
use tokio::time::Instant;

use super::{
    MinerPool,
    attempt::{Asked, Attempt, Excluded, Only, ask},
    balance::Candidates,
    failover::Failures,
    miner::Miner,
    snapshot::no_miner,
    witness::Report,
};

impl MinerPool {
    /// Sends a request to one member after the other, until one answers or no other may be asked.
    ///
    /// # Errors
    /// A refusal as the caller's fault that nobody contradicted, else what [`Failures::into_error`] makes of them all.
    pub(super) async fn dispatch(&self, mut input: Input) -> Result<Output, Error> {
        if let Some(only) = input.extensions().get::<Only>().cloned() {
            input.extensions_mut().remove::<Only>();
            return self.dispatch_to(&only, input).await;
        }
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
            let report = self.report(miner, &input, false);
            let asked = ask(
                &self.roster,
                miner,
                input.clone(),
                self.settings.first_content,
                report,
            );
            let Some(Asked { result, refusal }) = asked.await else {
                continue;
            };
            attempt += 1;
            let error = match result {
                Ok(output) => {
                    failures.contradicted(&self.roster);
                    return Ok(output);
                }
                Err(error) => error,
            };
            // Not its message: a miner may have put anything into that.
            tracing::debug!(miner = %miner.node(), code = error.code(), kind = ?error.kind(), "a miner failed before its first content");
            let late = deadline.is_some_and(|deadline| deadline.instant() <= Instant::now());
            if failures.add(miner, error, started.elapsed(), refusal).is_break() || late {
                break;
            }
        }
        Err(failures
            .into_error()
            .unwrap_or_else(|| no_miner("no miner is left to ask for this request")))
    }

    /// Sends a request to the one member that it is for.
    async fn dispatch_to(&self, only: &Only, mut input: Input) -> Result<Output, Error> {
        let snapshot = self.roster.snapshot();
        let miner = snapshot
            .member(only.node())
            .filter(|miner| miner.is_ready() && !miner.is_leaving())
            .ok_or_else(not_ready)?;
        input.extensions_mut().insert(Attempt::new(1));
        let report = self.report(miner, &input, true);
        let asked = ask(&self.roster, miner, input, self.settings.first_content, report);
        asked.await.ok_or_else(not_ready)?.result
    }

    /// What the witness is owed of a request to `miner`.
    fn report(&self, miner: &Miner, input: &Input, only: bool) -> Option<Report> {
        let witness = self.witness.clone()?;
        Some(Report::new(witness, miner.node().clone(), input, only))
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

fn not_ready() -> Error {
    no_miner("the one miner that may be asked is not ready")
}
