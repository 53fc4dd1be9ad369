//! Who can be asked for what, at one moment; replaced as a whole, never changed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use synapse_core::{Error, Health, ModuleCapabilities, NodeId, Retry, Task};

use super::{PATIENCE, miner::Miner};

/// Members that serve the same.
pub(super) type Peers = Arc<[Arc<Miner>]>;

/// Who can be asked for what, at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// All members, sorted by node.
    pub(super) miners: Vec<Arc<Miner>>,
    pub(super) capabilities: ModuleCapabilities,
    pub(super) health: Health,
    pub(super) ready: usize,
    serving: HashMap<Task, HashMap<String, Peers>>,
    /// Models that some member said it serves, whether it answers now or not.
    known: HashSet<String>,
    /// Whether some member was not tried yet, so that nobody knows what it serves.
    any_untried: bool,
}

impl Snapshot {
    pub(super) fn empty() -> Self {
        Self {
            miners: Vec::new(),
            capabilities: ModuleCapabilities::new("pool"),
            health: Health::unhealthy("no miner is ready: the pool was not initialised"),
            ready: 0,
            serving: HashMap::new(),
            known: HashSet::new(),
            any_untried: false,
        }
    }

    /// Of these members, as they are now.
    pub(super) fn of(miners: Vec<Arc<Miner>>, before: &Self) -> Self {
        let mut serving: HashMap<Task, HashMap<String, Vec<Arc<Miner>>>> = HashMap::new();
        let mut known = HashSet::new();
        let mut ready = Vec::new();
        for miner in &miners {
            let Some(can) = miner.capabilities() else { continue };
            known.extend(can.models.iter().map(|model| model.id.clone()));
            if !miner.is_ready() {
                continue;
            }
            for task in &can.tasks {
                let by_model = serving.entry(task.clone()).or_default();
                for model in &can.models {
                    let asked = by_model.entry(model.id.clone()).or_default();
                    // A member that lists a model twice is still one member.
                    if !asked.last().is_some_and(|last| Arc::ptr_eq(last, miner)) {
                        asked.push(miner.clone());
                    }
                }
            }
            ready.push((miner, can));
        }
        let health = health(ready.len(), miners.len());
        let health = if health.status() == before.health.status() {
            health.since(before.health.since_instant())
        } else {
            health
        };
        Self {
            capabilities: union(&ready),
            health,
            ready: ready.len(),
            serving: serving
                .into_iter()
                .map(|(task, models)| {
                    let frozen = models.into_iter().map(|(id, miners)| (id, miners.into()));
                    (task, frozen.collect())
                })
                .collect(),
            known,
            any_untried: miners.iter().any(|miner| !miner.was_tried()),
            miners,
        }
    }

    /// The member of this name.
    pub(super) fn member(&self, node: &NodeId) -> Option<&Arc<Miner>> {
        let at = self
            .miners
            .binary_search_by(|miner| miner.node().cmp(node))
            .ok()?;
        self.miners.get(at)
    }

    /// The members that serve `task` of `model`.
    ///
    /// # Errors
    /// Why there is none: nobody is ready, nobody knows the model, or those who do cannot be asked for this.
    pub(super) fn serving(&self, task: &Task, model: &str) -> Result<&Peers, Error> {
        if let Some(miners) = self.serving.get(task).and_then(|models| models.get(model)) {
            return Ok(miners);
        }
        if self.ready == 0 {
            return Err(no_miner("no miner is ready"));
        }
        // Before everybody was tried nobody knows what is not served: no verdict that a client would take for good.
        if self.any_untried {
            return Err(no_miner(
                "no miner that is ready serves this, and some were not tried yet",
            ));
        }
        if !self.known.contains(model) {
            return Err(Error::model_not_found(model));
        }
        if self.serving.values().any(|models| models.contains_key(model)) {
            return Err(Error::unsupported(
                "task_unsupported",
                format!("no miner here takes the task {task} for the model {model:?}"),
            )
            .with_param("model"));
        }
        Err(no_miner("no miner with this model is ready"))
    }
}

/// Nobody can be asked now; that may change soon.
pub(super) fn no_miner(why: &'static str) -> Error {
    Error::unavailable("no_miner_ready", why).with_retry(Retry::After(PATIENCE))
}

fn health(ready: usize, members: usize) -> Health {
    if ready == 0 {
        Health::unhealthy("no miner is ready")
    } else if ready * 2 < members {
        Health::degraded(format!("{ready} of {members} miners are ready"))
    } else {
        Health::ready()
    }
}

/// What all of them together can be asked for; of how they answer, what each of them does.
fn union(members: &[(&Arc<Miner>, Arc<ModuleCapabilities>)]) -> ModuleCapabilities {
    let mut pool = ModuleCapabilities::new("pool");
    let Some((_, first)) = members.first() else {
        return pool;
    };
    pool.streaming = members.iter().all(|(_, can)| can.streaming);
    pool.token_ids = members.iter().all(|(_, can)| can.token_ids);
    pool.seeds = members.iter().all(|(_, can)| can.seeds);
    pool.top_logprobs = members.iter().map(|(_, can)| can.top_logprobs).min().unwrap_or(0);
    pool.dialects.clone_from(&first.dialects);
    pool.dialects
        .retain(|dialect| members.iter().all(|(_, can)| can.dialects.contains(dialect)));
    pool.concurrency = members
        .iter()
        .map(|(_, can)| can.concurrency)
        .try_fold(0_u32, |sum, one| Some(sum.saturating_add(one?)));
    let mut at: HashMap<&str, usize> = HashMap::new();
    for (miner, can) in members {
        pool.resources = pool.resources.plus(can.resources);
        for task in &can.tasks {
            if !pool.tasks.contains(task) {
                pool.tasks.push(task.clone());
            }
        }
        for model in &can.models {
            let index = *at.entry(&model.id).or_insert_with(|| {
                pool.models.push(model.clone());
                pool.models.len() - 1
            });
            let known = &mut pool.models[index];
            if known.digest.is_some() && model.digest.is_some() && known.digest != model.digest {
                tracing::debug!(model = %model.id, miner = %miner.node(), "the miners disagree about a model's digest");
            }
            known.context_length = match (known.context_length, model.context_length) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    pool
}
