//! The task that keeps an engine running.

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    select,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at},
};

use super::{
    Devices, EngineDeath, EngineEvent, EnginePhase, EngineSpec, EngineStatus, Shared,
    look::{answers, look, warm},
    note::Note,
    prepare::prepare,
    process::Process,
    restart::Deaths,
    status::Run,
    watchdog::{Hang, Seen},
};

/// What a llama.cpp that was built for NVIDIA's GPUs writes where it sees none, and goes on without.
const NO_GPU: &str = "failed to initialize CUDA: ";

/// What somebody wants of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Restart,
    Stop,
}

/// How a run of an engine ended.
enum Over {
    Died(EngineDeath),
    Wished(Wish),
}

/// What keeps an engine running.
pub(super) struct Keeper {
    spec: Arc<EngineSpec>,
    shared: Arc<Shared>,
    wishes: mpsc::Receiver<Wish>,
    deaths: Deaths,
    note: Option<Note>,
    /// Since when nobody is answered, where it died.
    gone: Option<Instant>,
    /// How many requests were under way then.
    interrupted: usize,
}

impl Keeper {
    pub(super) fn new(spec: Arc<EngineSpec>, shared: Arc<Shared>, wishes: mpsc::Receiver<Wish>) -> Self {
        Self {
            deaths: Deaths::new(spec.restart.clone()),
            note: spec
                .state_dir
                .as_deref()
                .map(|directory| Note::new(directory, &spec.name)),
            spec,
            shared,
            wishes,
            gone: None,
            interrupted: 0,
        }
    }

    /// Keeps it running until somebody wants it stopped, or nobody is left who could.
    pub(super) async fn run(mut self) {
        loop {
            let wish = match self.live().await {
                Over::Wished(wish) => wish,
                Over::Died(death) => {
                    let wait = self.died(death);
                    select! {
                        () = sleep(wait) => continue,
                        wish = self.wishes.recv() => wish.unwrap_or(Wish::Stop),
                    }
                }
            };
            match wish {
                Wish::Stop => break,
                Wish::Restart => self.deaths.forget(),
            }
        }
        self.enter(EnginePhase::Stopped, |_| {});
        self.tell(&EngineEvent::Stopped {
            engine: self.spec.name.clone(),
        });
    }

    /// One run of it, from before its start.
    async fn live(&mut self) -> Over {
        // Whoever wanted it started again by now gets that.
        while let Ok(wish) = self.wishes.try_recv() {
            if wish == Wish::Stop {
                return Over::Wished(wish);
            }
        }
        let began = Instant::now();
        self.enter(EnginePhase::Starting, |status| status.attempts += 1);
        let port = match prepare(&self.spec, self.note.as_ref(), |event| self.tell(&event)).await {
            Ok(port) => port,
            Err(death) => return Over::Died(death),
        };
        self.tell(&EngineEvent::Starting {
            engine: self.spec.name.clone(),
        });
        let launched = Process::launch(&self.spec, port, &self.shared.logs, self.note.clone()).await;
        let mut process = match launched {
            Ok(process) => process,
            Err(error) => return Over::Died(self.not_launched(&error)),
        };
        let pid = process.id();
        self.shared.status.send_modify(|status| {
            status.starts += 1;
            status.pid = Some(pid);
        });
        let address = EngineSpec::address(port);
        match self.come_up(&mut process, address, began).await {
            Ok(()) => self.stay_up(process, address).await,
            Err(over) => self.end(&mut process, over).await.0,
        }
    }

    fn not_launched(&self, error: &io::Error) -> EngineDeath {
        EngineDeath::new(
            &self.spec.name,
            "engine_not_started",
            format!("could not be started: {error}"),
        )
        .hint("look at the state directory, the control group and the limit of processes")
    }

    /// Waits until it answers, and has it warm up.
    async fn come_up(
        &mut self,
        process: &mut Process,
        address: SocketAddr,
        began: Instant,
    ) -> Result<(), Over> {
        let spec = self.spec.clone();
        let limit = began + spec.start_limit;
        let ready = timeout_at(limit, answers(address, &spec.probe));
        if self.until(process, ready).await?.is_err() {
            let what = format!("was not ready within {:?}, and was killed", spec.start_limit);
            let death = EngineDeath::new(&spec.name, "engine_start_timeout", what)
                .hint("allow it longer, or look at its log for what it waits for");
            return Err(Over::Died(death));
        }
        let (up, started_in) = (Instant::now(), began.elapsed());
        let mut warmed_in = None;
        if let Some(warm_up) = &spec.warm_up {
            let left = limit.saturating_duration_since(up);
            match self.until(process, warm(&spec, address, warm_up, left)).await? {
                Ok(()) => warmed_in = Some(up.elapsed()),
                Err(error) => self.tell(&EngineEvent::NotWarm {
                    engine: spec.name.clone(),
                    error,
                }),
            }
        }
        self.shared
            .status
            .send_modify(|status| status.starting = Some(began.elapsed()));
        let gone_for = self.gone.take().map(|gone| gone.elapsed());
        self.tell(&EngineEvent::Ready {
            engine: spec.name.clone(),
            address,
            started_in,
            warmed_in,
            gone_for,
        });
        let wants_gpu = spec
            .devices
            .as_ref()
            .is_none_or(|devices| *devices != Devices::none());
        if let Some(line) = self.shared.logs.find(NO_GPU).filter(|_| wants_gpu) {
            self.tell(&EngineEvent::NoGpu {
                engine: spec.name.clone(),
                line,
            });
        }
        Ok(())
    }

    /// It answers; watches it until it does not any more.
    async fn stay_up(&mut self, mut process: Process, address: SocketAddr) -> Over {
        let since = Instant::now();
        let (end, run) = Run::begin(address);
        let pid = process.id();
        self.enter(EnginePhase::Ready, |status| {
            (status.pid, status.address, status.run) = (Some(pid), Some(address), Some(run));
            (status.crash_loop, status.load) = (false, None);
        });
        let over = self.watch(&mut process, address).await;
        if matches!(over, Over::Wished(_)) {
            self.enter(EnginePhase::Draining, |status| {
                (status.pid, status.address) = (Some(pid), Some(address));
            });
        }
        self.gone = matches!(over, Over::Died(_)).then(Instant::now);
        let (mut over, mut death) = self.end(&mut process, over).await;
        death.ran = since.elapsed();
        if let Over::Died(died) = &mut over {
            died.ran = death.ran;
        }
        self.interrupted = self.shared.traffic.in_flight();
        // Those under way learn why, before they find out that it is gone.
        end.send_replace(Some(Arc::new(death)));
        over
    }

    /// Looks at it every so often. Ends where it is gone, hangs, or somebody wants something.
    async fn watch(&mut self, process: &mut Process, address: SocketAddr) -> Over {
        let (spec, shared) = (self.spec.clone(), self.shared.clone());
        let mut looks = interval(spec.watchdog.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::new(spec.watchdog, Instant::now());
        loop {
            let pid = process.id();
            let suspicious = seen.is_suspicious();
            let look = async {
                looks.tick().await;
                look(&spec, &shared, address, pid, suspicious).await
            };
            let sight = match self.until(process, look).await {
                Ok(sight) => sight,
                Err(over) => return over,
            };
            if process.ran_out_of_memory() {
                shared.status.send_modify(|status| status.out_of_memory += 1);
                self.tell(&EngineEvent::OutOfMemory {
                    engine: spec.name.clone(),
                });
            }
            if let Some(hang) = seen.look(Instant::now(), sight) {
                return Over::Died(self.hung(hang));
            }
        }
    }

    fn hung(&self, hang: Hang) -> EngineDeath {
        self.shared.status.send_modify(|status| status.hangs += 1);
        EngineDeath::new(&self.spec.name, "engine_hung", format!("{hang}, and was killed"))
    }

    /// Does `work` for as long as the engine lives and nobody wants anything else.
    async fn until<T>(&mut self, process: &mut Process, work: impl Future<Output = T>) -> Result<T, Over> {
        let status = select! {
            biased;
            status = process.ended() => status,
            wish = self.wishes.recv() => return Err(Over::Wished(wish.unwrap_or(Wish::Stop))),
            done = work => return Ok(done),
        };
        Err(Over::Died(process.gone(status).await))
    }

    /// Lets it go as `over` says; with why it is gone.
    async fn end(&mut self, process: &mut Process, over: Over) -> (Over, EngineDeath) {
        match over {
            Over::Died(death) => {
                let death = process.kill(death).await;
                (Over::Died(death.clone()), death)
            }
            Over::Wished(wish) => {
                let wish = match wish {
                    Wish::Stop => Wish::Stop,
                    Wish::Restart => self.drained().await,
                };
                (Over::Wished(wish), process.end(self.spec.grace).await)
            }
        }
    }

    /// Waits until nothing is under way any more, or the drain is over. Whoever wants it stopped meanwhile does not wait for
    /// that, and whoever wants it started again gets what is on its way.
    async fn drained(&mut self) -> Wish {
        let shared = self.shared.clone();
        let mut idle = pin!(timeout(self.spec.drain, shared.traffic.idle()));
        loop {
            select! {
                _ = &mut idle => return Wish::Restart,
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Restart) => {}
                    Some(Wish::Stop) | None => return Wish::Stop,
                },
            }
        }
    }

    /// It is gone; when it is started again.
    fn died(&mut self, death: EngineDeath) -> Duration {
        let pause = self.deaths.died(Instant::now(), &death);
        let in_flight = std::mem::take(&mut self.interrupted);
        let death = Arc::new(death);
        let before = self.shared.status.borrow().last_death.clone();
        let known = |before: Arc<EngineDeath>| before.not_begun && before.what == death.what;
        let is_news = !death.not_begun || !before.is_some_and(known);
        self.enter(EnginePhase::Down, |status| {
            status.deaths += u64::from(is_news);
            status.out_of_memory += u64::from(death.code == "engine_out_of_memory");
            status.crash_loop = pause.crash_loop;
            status.last_death = Some(death.clone());
            status.next_start = Some(Instant::now() + pause.wait);
        });
        // What keeps it from being begun is looked at often, and told once.
        if is_news {
            self.tell(&EngineEvent::Died {
                death,
                in_flight,
                again_in: pause.wait,
                crash_loop: pause.crash_loop,
            });
        }
        pause.wait
    }

    fn enter(&self, phase: EnginePhase, change: impl FnOnce(&mut EngineStatus)) {
        self.shared.status.send_modify(|status| {
            status.enter(phase);
            status.pid = None;
            change(status);
        });
    }

    fn tell(&self, event: &EngineEvent) {
        if event.is_alert() {
            tracing::warn!(code = event.code(), "{event}");
        } else {
            tracing::info!(code = event.code(), "{event}");
        }
        if let Some(listener) = &self.spec.on_event
            && catch_unwind(AssertUnwindSafe(|| listener(event))).is_err()
        {
            tracing::error!(code = event.code(), "who listens to an engine's events panicked");
        }
    }
}
