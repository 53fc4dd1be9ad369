//! Looking after one number of a set: a replica is started, watched, ended, and started anew.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use synapse_core::{Error, ErrorKind, Health, InferenceModule};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    ReplicaEvent, Spawner,
    replica::{Replica, Seen},
    roster::Roster,
    settings::Settings,
};

/// Looks in a row that a replica must miss to be asked no more.
const MISSED_LOOKS: u32 = 2;

/// Looks after one number, as long as it is wanted.
pub(super) struct Keeper<S> {
    pub(super) spawner: Arc<S>,
    pub(super) roster: Arc<Roster>,
    pub(super) settings: Settings,
    pub(super) number: u32,
    /// Whether it is not wanted any more.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a replica is ended.
enum End {
    NotWanted,
    Unwell(String),
}

impl<S: Spawner> Keeper<S> {
    pub(super) async fn run(mut self) {
        let (number, first) = (self.number, self.settings.retry);
        let mut pause = first;
        while !*self.stop.borrow() {
            let began = Instant::now();
            match self.start().await {
                Ok(Some(replica)) => {
                    self.roster.say(&ReplicaEvent::Started {
                        number,
                        took: began.elapsed(),
                    });
                    let ready = Instant::now();
                    match self.watch(&replica).await {
                        End::NotWanted => {
                            let cut_off = self.let_go(&replica, true).await;
                            self.roster.say(&ReplicaEvent::Stopped { number, cut_off });
                            return;
                        }
                        End::Unwell(why) => {
                            self.roster.say(&ReplicaEvent::Replaced { number, why });
                            self.let_go(&replica, false).await;
                        }
                    }
                    if ready.elapsed() >= self.settings.settled {
                        pause = first;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.roster.note_failure(error.clone());
                    self.roster.say(&ReplicaEvent::StartFailed {
                        number,
                        error,
                        again_in: pause,
                    });
                }
            }
            tokio::select! {
                () = stopped(&mut self.stop) => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(self.settings.retry_most);
        }
    }

    /// Starts a replica that is well; `None` where it is not wanted any more. What is started is never given up midway,
    /// unless it takes too long: nobody else would know of it.
    async fn start(&mut self) -> Result<Option<Arc<Replica>>, Error> {
        let (number, settings) = (self.number, self.settings);
        let starting = async {
            let module = self.spawner.start(number).await?;
            module.initialize().await?;
            Ok::<Arc<dyn InferenceModule>, Error>(module)
        };
        // A panic of an author's code is one more failure, and tried again as late as others.
        let starting = AssertUnwindSafe(starting)
            .catch_unwind()
            .map(|ended| ended.unwrap_or_else(|payload| Err(Error::from_panic(&*payload))));
        tokio::pin!(starting);
        let late = |limit| {
            Error::new(
                ErrorKind::Timeout,
                "replica_slow",
                format!("replica {number} is not ready within {limit:?}"),
            )
            .with_hint("see its log for what it waits for, or allow it more time")
        };
        let limit = settings.start_within;
        let module = tokio::select! {
            started = timeout(limit, &mut starting) => started.map_err(|_| late(limit))??,
            () = stopped(&mut self.stop) => {
                let started = timeout(settings.stop_within, &mut starting).await;
                if let Ok(Ok(module)) = started {
                    let _ = timeout(settings.shutdown, module.shutdown()).await;
                }
                return Ok(None);
            }
        };
        let looked = timeout(settings.look_within, module.health_check()).await;
        let health: Result<Health, Error> = looked.unwrap_or_else(|_| Err(late(settings.look_within)));
        let health = match health {
            Ok(health) if health.is_serving() => health,
            unwell => {
                let _ = timeout(settings.shutdown, module.shutdown()).await;
                let health = unwell?;
                let why = health.reason().unwrap_or("it does not say why");
                let message = format!("replica {number} started and is not well: {why}");
                return Err(Error::unavailable("replica_unwell", message));
            }
        };
        let seen = Seen::of(&*module, &health, 0);
        Ok(Some(Arc::new(Replica::new(number, module, seen))))
    }

    /// Has it asked as long as it is well, and says why it is to be ended.
    async fn watch(&mut self, replica: &Arc<Replica>) -> End {
        let settings = self.settings;
        let mut listed = Some(self.roster.list(replica));
        let (mut missed, mut unwell) = (0, None);
        loop {
            let pause = if missed == 0 && listed.is_some() {
                settings.look_every
            } else {
                settings.look_again
            };
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return End::NotWanted,
                () = sleep(pause) => {}
                // Not at once, since many fail together.
                () = async { replica.suspected().await; sleep(settings.look_again).await } => {}
            }
            let why = match timeout(settings.look_within, replica.module.health_check()).await {
                Ok(Ok(health)) if health.is_serving() => {
                    replica.see(Seen::of(&*replica.module, &health, replica.in_flight()));
                    missed = 0;
                    if listed.is_none() {
                        unwell = None;
                        listed = Some(self.roster.list(replica));
                        self.roster.say(&ReplicaEvent::Recovered { number: self.number });
                    }
                    continue;
                }
                Ok(Ok(health)) => {
                    missed = MISSED_LOOKS;
                    health.reason().unwrap_or("it does not say why").to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it does not say how it is within {:?}", settings.look_within),
            };
            missed += 1;
            if missed < MISSED_LOOKS {
                continue;
            }
            let since = *unwell.get_or_insert_with(Instant::now);
            if listed.take().is_some() {
                self.roster.say(&ReplicaEvent::Unwell {
                    number: self.number,
                    why,
                });
            } else if since.elapsed() >= settings.patience {
                return End::Unwell(why);
            }
        }
    }

    /// Lets what is under way with it end, for a while, and ends it. Says how much was under way then.
    async fn let_go(&self, replica: &Arc<Replica>, is_well: bool) -> u32 {
        let settings = self.settings;
        let limit = if is_well {
            settings.drain
        } else {
            settings.drain_unwell
        };
        let _ = timeout(limit, replica.drained()).await;
        let cut_off = replica.in_flight();
        self.roster.keep_counts(replica);
        let number = self.number;
        match timeout(settings.shutdown, replica.module.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(number, %error, "a replica did not end as it should"),
            Err(_) => tracing::warn!(number, "a replica did not end in time"),
        }
        cut_off
    }
}

/// Waits until it is not wanted any more. Cancel safe.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is there any more to want it.
    let _ = stop.wait_for(|stop| *stop).await;
}
