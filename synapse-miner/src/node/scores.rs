//! What validators think of a miner, as they say themselves.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use synapse_core::{Error, Member, NodeId, Role, ScoreReport, Subnet, async_trait};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{MinerEvent, board::Board, status::ScoreSeen};

/// The most validators that are asked.
const MOST: usize = 64;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(15);
/// How long after an epoch's end they are asked: they are busy with it, and so are the other miners.
const LATER: Duration = Duration::from_secs(5);

/// Asks validators what they think of a miner.
#[async_trait]
pub trait ScoreSource: Send + Sync + 'static {
    /// What `validator` says of this miner: of the last epoch that it scored.
    ///
    /// # Errors
    /// Where it cannot be reached, or has no opinion yet.
    async fn report(&self, validator: &Member) -> Result<ScoreReport, Error>;
}

/// Asks after each epoch. Never ends.
pub(super) async fn ask_each_epoch(
    source: Arc<dyn ScoreSource>,
    subnet: Arc<dyn Subnet>,
    node: NodeId,
    board: Arc<Board>,
) {
    let mut epochs = subnet.epochs();
    let mut last = None;
    let mut seen = BTreeMap::new();
    while let Some(epoch) = epochs.next().await {
        if last == Some(epoch.id) {
            continue;
        }
        if last.replace(epoch.id).is_some() {
            sleep(LATER).await;
        }
        let mut asking = JoinSet::new();
        let directory = subnet.directory().current();
        let validators = directory
            .members()
            .iter()
            .filter(|member| member.role == Role::Validator && member.endpoint.is_some());
        for validator in validators.take(MOST).cloned() {
            let source = source.clone();
            asking.spawn(async move {
                let report = timeout(LONGEST, source.report(&validator)).await;
                (validator.node, report)
            });
        }
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((validator, Ok(Ok(report))))
                    if report.miner == node
                        && report.validator == validator
                        && report.subnet == subnet.id() =>
                {
                    take(&board, &mut seen, report);
                }
                Ok((validator, Ok(Ok(_)))) => {
                    tracing::debug!(%validator, "the validator told the score of somebody else");
                }
                Ok((validator, Ok(Err(error)))) => tracing::debug!(%validator, %error, "no score"),
                Ok((validator, Err(_))) => tracing::debug!(%validator, "no score in time"),
                Err(error) => tracing::debug!(%error, "asking for a score failed"),
            }
        }
        // Whoever is no validator any more has no say.
        seen.retain(|validator, _| directory.get(validator).is_some());
        board.note(|status| status.scores = seen.values().cloned().collect());
    }
    // Epochs end with the chain's handle, and the node's loop has the last word on that.
    std::future::pending::<()>().await;
}

fn take(board: &Board, seen: &mut BTreeMap<NodeId, ScoreSeen>, report: ScoreReport) {
    let fresh = seen
        .get(&report.validator)
        .is_none_or(|before| before.epoch != report.epoch);
    if fresh {
        board.say(&MinerEvent::Scored {
            validator: report.validator.clone(),
            epoch: report.epoch,
            score: report.score,
        });
    }
    seen.insert(report.validator.clone(), report.into());
}
