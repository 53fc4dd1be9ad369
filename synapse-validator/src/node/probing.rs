//! Asking miners, each in its turn.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use synapse_core::{
    Error, InferenceModule as _, Input, Message, NodeId, Watch,
    probe::{Answer, Probe, ask},
};
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    alert::AlertCode,
    shared::{Roll, Shared},
};
use crate::{
    judge::Validator,
    pool::{MinerPool, Only, random::Random},
};

/// How long a member of which nothing is known is waited for: it is not ready, and that is said at once.
const NOT_READY: Duration = Duration::from_secs(1);

/// Asks each miner that is judged a question every so often.
pub(super) struct Probing<V> {
    shared: Arc<Shared<V>>,
    pool: Arc<MinerPool>,
    random: Random,
    roll: Arc<Roll>,
    /// Who is asked when.
    due: BTreeSet<(Instant, NodeId)>,
    /// The number of each one's next question. Who leaves and comes back begins at another, and so gets other questions.
    numbers: BTreeMap<NodeId, u64>,
    asking: JoinSet<(Option<Probe>, Answer)>,
    /// Who is being asked, and since when.
    whom: HashMap<Id, (NodeId, Instant)>,
}

impl<V: Validator> Probing<V> {
    pub(super) fn new(shared: Arc<Shared<V>>, pool: Arc<MinerPool>) -> Self {
        Self {
            random: Random::seeded(shared.settings.seed),
            shared,
            pool,
            roll: Arc::default(),
            due: BTreeSet::new(),
            numbers: BTreeMap::new(),
            asking: JoinSet::new(),
            whom: HashMap::new(),
        }
    }

    /// Asks, for as long as the node runs.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        self.pool.initialize().await?;
        let mut roll: Watch<Roll> = self.shared.roll.follow();
        let mut interval = self.shared.settings.probe_every.clone();
        // The first is what it begins with.
        let _ = interval.next().await;
        loop {
            let next = self.due.first().map(|(when, _)| *when);
            let has_room = self.asking.len() < self.shared.settings.probes_at_once;
            self.look_at_delay(next, has_room);
            tokio::select! {
                Some(members) = roll.next() => self.enrolled(members),
                Some(every) = interval.next() => self.hurried(*every),
                Some(ended) = self.asking.join_next_with_id() => match ended {
                    Ok((id, (probe, answer))) => self.answered(id, probe.as_ref(), &answer),
                    Err(error) => {
                        tracing::error!(%error, "asking a miner failed");
                        let _ = self.freed(error.id());
                    }
                },
                () = wait_until(next), if has_room => self.ask_next(),
            }
        }
    }

    /// Who is new is asked somewhen within the next interval, so that not all are asked at once.
    fn enrolled(&mut self, members: Arc<Roll>) {
        let is_asked = |roll: &Roll, node: &NodeId| roll.get(node).is_some_and(|one| one.refused.is_none());
        self.due.retain(|(_, node)| is_asked(&members, node));
        self.numbers.retain(|node, _| members.contains_key(node));
        let every = self.every();
        let under_way = self.whom.values().map(|(node, _)| node);
        let listed: HashSet<NodeId> = self
            .due
            .iter()
            .map(|(_, node)| node)
            .chain(under_way)
            .cloned()
            .collect();
        for node in members.keys() {
            if is_asked(&members, node) && !listed.contains(node) {
                let spread = self.random.below(1000);
                let spread = u32::try_from(spread).expect("below 1000");
                self.due
                    .insert((Instant::now() + every * spread / 1000, node.clone()));
            }
        }
        self.roll = members;
    }

    /// Nobody waits longer than a new interval has it.
    fn hurried(&mut self, every: Duration) {
        let now = Instant::now();
        let due = std::mem::take(&mut self.due);
        self.due = due
            .into_iter()
            .map(|(when, node)| (when.min(now + self.random.jittered(every)), node))
            .collect();
    }

    fn ask_next(&mut self) {
        let Some((_, node)) = self.due.pop_first() else {
            return;
        };
        let Some(member) = self.roll.get(&node).map(|enrolled| enrolled.member.clone()) else {
            return;
        };
        let next = self
            .numbers
            .entry(node.clone())
            .or_insert_with(|| first_number(&self.random));
        let (number, seed) = (*next, own_seed(self.shared.settings.seed, &node));
        *next += 1;
        let probe = match self.pool.capabilities_of(&node) {
            Some(can) => {
                let question = self
                    .shared
                    .guarded("probe", |judge| judge.probe(&member, &can, seed, number));
                match question.flatten() {
                    Some(probe) => Some(probe),
                    // Nothing to ask it now.
                    None => return self.again(node, Instant::now()),
                }
            }
            // It never answered, so nobody knows what to ask; that it is not ready counts all the same.
            None => None,
        };
        let (input, limit) = probe.as_ref().map_or_else(
            || (Input::chat("", [Message::user("")]), NOT_READY),
            |probe| (probe.input.clone(), probe.limit),
        );
        let input = Only::new(node.clone()).like_a_users(input, self.shared.settings.deadline);
        let pool = self.pool.clone();
        let task = self.asking.spawn(async move {
            let answer = Box::pin(ask(&*pool, input, limit)).await;
            (probe, answer)
        });
        self.whom.insert(task.id(), (node, Instant::now()));
    }

    fn answered(&mut self, id: Id, probe: Option<&Probe>, answer: &Answer) {
        let Some(node) = self.freed(id) else { return };
        let findings = probe
            .and_then(|probe| self.shared.guarded("judge", |judge| judge.judge(probe, answer)))
            .unwrap_or_default();
        self.shared.log.probed(&node, probe, answer, &findings);
    }

    /// Tells the operator where there are not places enough to ask everybody in time.
    fn look_at_delay(&self, next: Option<Instant>, has_room: bool) {
        let every = self.every();
        let is_late = next.is_some_and(|next| next.elapsed() > every);
        // Of those who wait, whoever is first is asked at once: only where there is room for the next too they are in time.
        if is_late != has_room {
            self.shared.alerts.set(AlertCode::ProbesLate, is_late, || {
                format!(
                    "with {} questions at once, miners are not asked every {every:?}",
                    self.shared.settings.probes_at_once
                )
            });
        }
    }

    fn every(&self) -> Duration {
        *self.shared.settings.probe_every.current()
    }

    /// Nobody is asked under this id any more; who was is asked again later.
    fn freed(&mut self, id: Id) -> Option<NodeId> {
        let (node, since) = self.whom.remove(&id)?;
        if self.roll.get(&node).is_some_and(|one| one.refused.is_none()) {
            self.again(node.clone(), since);
        }
        Some(node)
    }

    fn again(&mut self, node: NodeId, since: Instant) {
        let every = self.every();
        let next = since + self.random.jittered(every);
        self.due.insert((next.max(Instant::now()), node));
    }
}

async fn wait_until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Where a member's questions begin: anywhere, and far from where they end.
fn first_number(random: &Random) -> u64 {
    u64::try_from(random.below(usize::MAX >> 1)).unwrap_or_default()
}

/// Each member gets questions of its own, so that none can tell another what will be asked.
fn own_seed(seed: u64, node: &NodeId) -> u64 {
    // FNV-1a (Fowler, Noll, Vo).
    node.as_str()
        .bytes()
        .fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
}
