//! From a closed epoch to weights that the chain has.

use std::{sync::Arc, time::Duration};

use synapse_core::{EpochId, Error, ErrorKind, NodeId, Retry, Weights};
use tokio::time::{sleep, timeout};

use super::{alert::AlertCode, shared::Shared};
use crate::{
    evidence::EpochEvidence,
    judge::Validator,
    score::{Score, Scores},
    state::{EpochRecord, Intent, Stage},
    weights,
};

/// Pause after the first failure; doubles up to [`PAUSE_MOST`].
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MOST: Duration = Duration::from_secs(8);
/// How long one call to the chain may take: some blocks.
const CALL: Duration = Duration::from_secs(60);
/// How often a chain is asked, once the window is over, whether it has what was sent.
const LATE_CALLS: u32 = 5;

impl<V: Validator> Shared<V> {
    /// Brings a closed epoch to its end: scores it, and submits its weights as long as the chain takes them.
    pub(super) async fn weigh(self: Arc<Self>, epoch: EpochId) {
        let Some(mut record) = self.stored(epoch).await else {
            return;
        };
        // Nobody can tell whether what was intended before was sent too, or whether a chain that went back still has it.
        let unsure = matches!(record.stage, Stage::Intended | Stage::Submitted);
        if record.intent.is_none() {
            if !self.takes(epoch) {
                return self
                    .miss(
                        record,
                        "this validator was away, or late, while its weights were taken",
                    )
                    .await;
            }
            if !self.intend(&mut record).await {
                return;
            }
        }
        self.submit(record, unsure).await;
    }

    async fn stored(&self, epoch: EpochId) -> Option<EpochRecord> {
        match self.state.fetch(epoch).await {
            Ok(record) => record.map(Arc::unwrap_or_clone),
            Err(error) => {
                self.kept(epoch, Err(error));
                None
            }
        }
    }

    /// Scores an epoch and makes weights of that, and stores both. Says whether there is something to submit.
    async fn intend(&self, record: &mut EpochRecord) -> bool {
        let epoch = record.epoch();
        if record.opinion.is_none() && record.fault.is_none() {
            if !is_anything_seen(&record.evidence) {
                return self.no_opinion(record, "nothing was seen of any miner").await;
            }
            match self.score(&record.evidence).await {
                Ok(opinion) => {
                    self.alerts.clear(AlertCode::PolicyFault);
                    record.opinion = Some(opinion);
                }
                Err(why) => {
                    tracing::error!(%epoch, why, "the policy failed");
                    self.alerts
                        .raise(AlertCode::PolicyFault, Some(epoch), why.as_str());
                    record.fault = Some(why);
                }
            }
            record.reach(Stage::Scored, self.block());
            self.keep(record.clone()).await;
        }
        let (weights, from_epoch) = match self.weights(record).await {
            Ok(found) => found,
            Err(why) => return self.no_opinion(record, &why).await,
        };
        record.intent = Some(Intent {
            operation: weights::operation(self.subnet.id(), &self.validator, epoch),
            weights,
            from_epoch,
        });
        record.reach(Stage::Intended, self.block());
        self.alerts.clear(AlertCode::NoOpinion);
        self.keep_surely(record).await
    }

    /// The weights of an epoch; the last good ones where its policy failed.
    async fn weights(&self, record: &EpochRecord) -> Result<(Weights, Option<EpochId>), String> {
        let directory = self.subnet.directory().current();
        let stays = |node: &NodeId| directory.get(node).is_some();
        if let Some(opinion) = &record.opinion {
            let scores = opinion
                .scores
                .as_slice()
                .iter()
                .filter(|score| stays(&score.miner));
            let weights = weights::emit(&Scores::new(scores.cloned()));
            return weights.map(|weights| (weights, None)).map_err(|error| {
                let first = opinion.scores.as_slice().iter().find_map(first_reason);
                first.map_or_else(
                    || error.message().to_owned(),
                    |why| format!("{}: {why}", error.message()),
                )
            });
        }
        let last = self.state.weighed().await.map_err(|error| error.to_string())?;
        let Some((last, intent)) = last
            .as_ref()
            .and_then(|last| Some((last.epoch(), last.intent.as_ref()?)))
        else {
            return Err("the policy failed, and there are no earlier weights".to_owned());
        };
        let from = intent.from_epoch.unwrap_or(last);
        without(&intent.weights, |node| !stays(node))
            .map(|weights| (weights, Some(from)))
            .ok_or_else(|| "the policy failed, and no miner of the earlier weights is left".to_owned())
    }

    /// Sends what is intended until the chain has it, refuses it, or takes it no more.
    async fn submit(&self, mut record: EpochRecord, mut unsure: bool) {
        let (epoch, mut pause, mut late) = (record.epoch(), PAUSE, 0);
        while let Some(intent) = record.intent.clone() {
            let is_open = self.takes(epoch);
            if !is_open {
                late += 1;
                if !unsure {
                    return self.miss(record, "the chain did not take them in time").await;
                }
                if late > LATE_CALLS && record.stage == Stage::Submitted {
                    // It had them, and nobody says that it went back behind that.
                    return self.alerts.clear(AlertCode::SubmissionFailing);
                }
                if late > LATE_CALLS {
                    return self
                        .miss(record, "nobody could tell in time whether the chain has them")
                        .await;
                }
            }
            let error = match self.send(epoch, intent).await {
                Ok(()) => return self.submitted(record).await,
                Err(error) => error,
            };
            tracing::warn!(%epoch, code = error.code(), %error, "weights were not taken");
            match Answer::of(&error) {
                Answer::Closed if is_open => {}
                Answer::Closed => unsure = false,
                Answer::Stranger => {
                    if !self.drop_stranger(&mut record, &error).await {
                        return self.refused(record, AlertCode::WeightsRefused, &error).await;
                    }
                    continue;
                }
                Answer::MayNot => return self.refused(record, AlertCode::MayNotWeigh, &error).await,
                Answer::Refused => return self.refused(record, AlertCode::WeightsRefused, &error).await,
                Answer::Busy => self
                    .alerts
                    .raise(AlertCode::SubmissionFailing, Some(epoch), error.message()),
                Answer::Unsure => {
                    unsure = true;
                    self.alerts
                        .raise(AlertCode::SubmissionFailing, Some(epoch), error.message());
                }
            }
            self.pause(epoch, error.retry_after().unwrap_or(pause)).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    async fn send(&self, epoch: EpochId, intent: Intent) -> Result<(), Error> {
        let call = self
            .subnet
            .submit_weights(intent.operation, &self.validator, epoch, intent.weights);
        timeout(CALL, call).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                "chain_silent",
                format!("the chain did not say within {CALL:?} whether it took the weights"),
            ))
        })
    }

    /// Waits, but not beyond a change of the epoch.
    async fn pause(&self, epoch: EpochId, pause: Duration) {
        let mut epochs = self.subnet.epochs();
        if !self.takes(epoch) {
            return sleep(pause.min(PAUSE_MOST)).await;
        }
        let closes = async {
            while self.takes(epoch) {
                if epochs.next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = closes => {}
        }
    }

    /// Takes whoever is no member any more out of what is intended. Says whether somebody was, and something is left.
    async fn drop_stranger(&self, record: &mut EpochRecord, error: &Error) -> bool {
        let directory = self.subnet.directory().current();
        let Some(intent) = record.intent.as_mut() else {
            return false;
        };
        let is_named = |node: &NodeId| {
            error
                .message()
                .split_whitespace()
                .any(|word| word == node.as_str())
        };
        let gone = |node: &NodeId| is_named(node) || directory.get(node).is_none();
        let before = intent.weights.as_slice().len();
        match without(&intent.weights, gone) {
            Some(left) if left.as_slice().len() < before => intent.weights = left,
            _ => return false,
        }
        record.since = record.since.max(self.block());
        self.keep_surely(record).await
    }

    /// Stores what must be durable before anything is sent; tries as long as the chain takes weights.
    async fn keep_surely(&self, record: &EpochRecord) -> bool {
        let mut pause = PAUSE;
        while !self.keep(record.clone()).await {
            if !self.takes(record.epoch()) {
                let why = "what was to be submitted could not be stored";
                self.miss_for(record.clone(), why, AlertCode::StateUnwritable)
                    .await;
                return false;
            }
            self.pause(record.epoch(), pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
        true
    }

    async fn submitted(&self, mut record: EpochRecord) {
        for code in [
            AlertCode::SubmissionFailing,
            AlertCode::WeightsMissed,
            AlertCode::WeightsRefused,
            AlertCode::MayNotWeigh,
        ] {
            self.alerts.clear(code);
        }
        tracing::info!(epoch = %record.epoch(), "weights are submitted");
        record.reach(Stage::Submitted, self.block());
        self.keep(record).await;
    }

    async fn miss(&self, record: EpochRecord, why: &str) {
        self.miss_for(record, why, AlertCode::WeightsMissed).await;
    }

    /// The same where the operator should do what he does about `cause`.
    async fn miss_for(&self, mut record: EpochRecord, why: &str, cause: AlertCode) {
        let text = format!(
            "the weights of epoch {} were not submitted: {why}",
            record.epoch()
        );
        self.alerts.clear(AlertCode::SubmissionFailing);
        self.alerts
            .raise_with(AlertCode::WeightsMissed, Some(record.epoch()), text, cause.hint());
        record.reach(Stage::Missed(why.to_owned()), self.block());
        self.keep(record).await;
    }

    async fn refused(&self, mut record: EpochRecord, code: AlertCode, error: &Error) {
        self.alerts.clear(AlertCode::SubmissionFailing);
        self.alerts.raise(code, Some(record.epoch()), error.message());
        record.reach(Stage::Refused(error.message().to_owned()), self.block());
        self.keep(record).await;
    }

    /// Says that there is nothing to submit.
    async fn no_opinion(&self, record: &mut EpochRecord, why: &str) -> bool {
        let text = format!("nothing is submitted for epoch {}: {why}", record.epoch());
        self.alerts
            .raise(AlertCode::NoOpinion, Some(record.epoch()), text);
        record.reach(Stage::NoOpinion(why.to_owned()), self.block());
        self.keep(record.clone()).await;
        false
    }
}

/// What a chain's error says of weights.
enum Answer {
    /// It takes none for this epoch now.
    Closed,
    /// They name somebody who is no member.
    Stranger,
    /// It takes none of this validator.
    MayNot,
    /// It takes none of these, however often.
    Refused,
    /// It did not take them now, and may later.
    Busy,
    /// Nobody knows whether it took them.
    Unsure,
}

impl Answer {
    fn of(error: &Error) -> Self {
        match (error.code(), error.kind(), error.retry()) {
            ("epoch_closed", ..) => Self::Closed,
            ("unknown_member", ..) => Self::Stranger,
            ("may_not_weigh", ..) => Self::MayNot,
            (_, ErrorKind::RateLimited | ErrorKind::Overloaded, _) => Self::Busy,
            (_, _, Retry::Never) => Self::Refused,
            _ => Self::Unsure,
        }
    }
}

fn is_anything_seen(evidence: &EpochEvidence) -> bool {
    evidence.miners.iter().any(|miner| {
        let users = miner.users.values().any(|tally| tally.asked > 0);
        miner.probes.asked > 0 || users || !miner.measures.is_empty()
    })
}

/// The weights less those of who is gone; `None` where nothing is left.
fn without(weights: &Weights, gone: impl Fn(&NodeId) -> bool) -> Option<Weights> {
    let left = weights.as_slice().iter().filter(|weight| !gone(&weight.node));
    Weights::new(left.map(|weight| (weight.node.clone(), weight.value))).ok()
}

fn first_reason(score: &Score) -> Option<String> {
    let reason = score.reasons.first()?;
    Some(format!("{}: {}", score.miner, reason.text))
}
