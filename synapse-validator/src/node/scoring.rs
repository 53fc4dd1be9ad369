//! Asking a policy, which may panic, return anything, or never return.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
};

use synapse_core::Error;

use super::shared::Shared;
use crate::{evidence::EpochEvidence, judge::Validator, state::Opinion};

impl<V: Validator> Shared<V> {
    /// What the policy makes of an epoch.
    ///
    /// It runs on a thread of its own: one that never ends must keep neither the node nor its end waiting. While it runs no
    /// other is begun.
    ///
    /// # Errors
    /// What is wrong with the policy.
    pub(super) async fn score(&self, evidence: &Arc<EpochEvidence>) -> Result<Opinion, String> {
        let Some(busy) = Busy::begin(&self.scoring) else {
            return Err("the policy still works on an earlier epoch".to_owned());
        };
        let (judge, seen, limit) = (self.judge.clone(), evidence.clone(), self.settings.policy_within);
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move || {
            let opinion = catch_unwind(AssertUnwindSafe(|| opinion(&*judge, &seen)));
            drop(busy);
            // Nobody waits any more for one that comes too late.
            let _ = sender.send(opinion.map_err(|payload| Error::from_panic(&*payload)));
        };
        thread::Builder::new()
            .name("score-policy".to_owned())
            .spawn(work)
            .map_err(|error| format!("no thread could be started for the policy: {error}"))?;
        let waited = tokio::task::spawn_blocking(move || receiver.recv_timeout(limit)).await;
        let opinion = match waited.unwrap_or(Err(RecvTimeoutError::Disconnected)) {
            Ok(Ok(opinion)) => opinion,
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return Err("the policy panicked".to_owned()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("the policy has not returned within {limit:?}"));
            }
        };
        opinion
            .scores
            .check(evidence)
            .map_err(|error| error.to_string())?;
        Ok(opinion)
    }
}

fn opinion(judge: &impl Validator, evidence: &EpochEvidence) -> Opinion {
    Opinion {
        policy: judge.policy().name().to_owned(),
        policy_version: judge.policy().version(),
        scores: judge.score(evidence),
    }
}

/// A policy at work.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(busy: &Arc<AtomicBool>) -> Option<Self> {
        (!busy.swap(true, Ordering::AcqRel)).then(|| Self(busy.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
