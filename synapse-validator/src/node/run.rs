//! Running a node: its tasks, and their one owner.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use synapse_core::Error;
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep},
};

use super::{ValidatorNode, alert::AlertCode, follow::Follow, probing::Probing, shared::Shared, show::Show};
use crate::judge::Validator;

/// Pause before a task that panicked is begun again; doubles each time, up to [`PAUSE_MOST`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// After so long a task is taken to be well.
const WELL: Duration = Duration::from_secs(300);

impl<V: Validator> ValidatorNode<V> {
    /// Runs until `shutdown`. What is under way is given up then: all that counts is stored, and goes on when the node runs
    /// again.
    ///
    /// # Errors
    /// Where the state is another node's (`state_foreign`) or cannot be used, and where the chain is gone (`chain_gone`).
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let shared = Arc::new(Shared::new(
            self.subnet,
            self.validator,
            Arc::new(self.judge),
            self.pool,
            self.log,
            self.state,
            self.alerts,
            self.settings,
            self.status,
        ));
        shared.state.claim(shared.subnet.id(), &shared.validator)?;
        let mut tasks = Tasks::begun(&shared);
        let mut shutdown = pin!(shutdown);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                Some(ended) = tasks.set.join_next_with_id() => match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((_, Err(error))) => break Err(error),
                    Err(panicked) => tasks.again(panicked.id()),
                }
            }
        };
        tasks.set.shutdown().await;
        let last = shared.log.gathered();
        if let Some(gathered) = last.filter(|last| last.epoch.subnet == shared.subnet.id()) {
            shared.keep_open(gathered).await;
        }
        ended
    }
}

/// A task of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Follow,
    Probe,
    Show,
}

/// The tasks of a node.
struct Tasks<V> {
    shared: Arc<Shared<V>>,
    set: JoinSet<Result<(), Error>>,
    running: HashMap<Id, Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    task: Task,
    since: Instant,
    /// How long to wait should it panic.
    pause: Duration,
}

impl<V: Validator> Tasks<V> {
    fn begun(shared: &Arc<Shared<V>>) -> Self {
        let mut tasks = Self {
            shared: shared.clone(),
            set: JoinSet::new(),
            running: HashMap::new(),
        };
        for task in [Task::Follow, Task::Probe, Task::Show] {
            tasks.begin(task, Duration::ZERO, PAUSE);
        }
        tasks
    }

    fn begin(&mut self, task: Task, after: Duration, pause: Duration) {
        let shared = self.shared.clone();
        let doing = async move {
            sleep(after).await;
            match (task, shared.pool.clone()) {
                (Task::Follow, _) => {
                    Box::pin(async move { Follow::resumed(shared).await?.run().await }).await
                }
                (Task::Probe, Some(pool)) => Box::pin(Probing::new(shared, pool).run()).await,
                (Task::Probe, None) => Ok(()),
                (Task::Show, _) => Box::pin(Show::new(shared).run()).await,
            }
        };
        let running = Running {
            task,
            since: Instant::now(),
            pause,
        };
        self.running.insert(self.set.spawn(doing).id(), running);
    }

    /// A task panicked.
    fn again(&mut self, id: Id) {
        let Some(Running { task, since, pause }) = self.running.remove(&id) else {
            return;
        };
        let text = format!("the task {task:?} panicked and is begun again").to_lowercase();
        self.shared.alerts.raise(AlertCode::TaskFailed, None, text);
        let pause = if since.elapsed() > WELL { PAUSE } else { pause };
        self.begin(task, pause, (pause * 2).min(PAUSE_MOST));
    }
}
