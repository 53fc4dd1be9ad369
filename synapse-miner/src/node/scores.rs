//! What validators think of a miner, as they say themselves.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use synapse_core::{Directory, Error, Member, NodeId, Role, ScoreReport, Subnet, SubnetId, async_trait};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{MinerEvent, board::Board, status::ScoreSeen};

/// The most validators that are asked.
const MOST: usize = 64;
/// How many at once: a reply may be long.
const AT_ONCE: usize = 4;
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
        let mut asked = validators(&subnet.directory().current());
        // Whoever is no validator any more, or of too little stake, has no say.
        seen.retain(|known, _| asked.iter().any(|validator| validator.node == *known));
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < AT_ONCE
                && let Some(validator) = asked.pop_front()
            {
                asking.spawn(ask(source.clone(), validator, subnet.id(), node.clone()));
            }
            match asking.join_next().await {
                Some(Ok(Some(score))) => take(&board, &mut seen, score),
                Some(Ok(None)) => {}
                Some(Err(error)) => tracing::debug!(%error, "asking for a score failed"),
                None => break,
            }
        }
        board.note(|status| status.scores = seen.values().cloned().collect());
    }
    // Epochs end with the chain's handle, and the node's loop has the last word on that.
    std::future::pending::<()>().await;
}

/// Those with the most stake come first: a place as a validator may be had cheaply.
fn validators(directory: &Directory) -> VecDeque<Member> {
    let members = directory.members().iter();
    let mut validators: Vec<&Member> = members
        .filter(|member| member.role == Role::Validator && member.endpoint.is_some())
        .collect();
    validators.sort_by_key(|member| Reverse(member.stake));
    validators.into_iter().take(MOST).cloned().collect()
}

/// What a validator says of this miner; `None` where it says nothing.
async fn ask(
    source: Arc<dyn ScoreSource>,
    validator: Member,
    subnet: SubnetId,
    miner: NodeId,
) -> Option<ScoreSeen> {
    let report = match timeout(LONGEST, source.report(&validator)).await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            tracing::debug!(validator = %validator.node, %error, "no score");
            return None;
        }
        Err(_) => {
            tracing::debug!(validator = %validator.node, "no score in time");
            return None;
        }
    };
    if report.miner != miner || report.validator != validator.node || report.subnet != subnet {
        tracing::debug!(validator = %validator.node, "the validator told the score of somebody else");
        return None;
    }
    Some(report.into())
}

fn take(board: &Board, seen: &mut BTreeMap<NodeId, ScoreSeen>, score: ScoreSeen) {
    let before = seen.get(&score.validator);
    if before.is_none_or(|before| before.epoch != score.epoch) {
        board.say(&MinerEvent::Scored {
            validator: score.validator.clone(),
            epoch: score.epoch,
            score: score.score,
        });
    }
    seen.insert(score.validator.clone(), score);
    board.note(|status| status.scores = seen.values().cloned().collect());
}
