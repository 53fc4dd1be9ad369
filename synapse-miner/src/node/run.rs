//! A node at work.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use synapse_core::{Endpoint, Error, InferenceModule, NodeId, Serving, Subnet, Watch};
use tokio::sync::{oneshot, watch};

use super::{
    Miner, MinerEvent, MinerNode, Register, ScoreSource, Stage,
    board::Board,
    check::Checked,
    reach::Reach,
    registrar::Registrar,
    scores::ask_each_epoch,
    serve::Front,
    signals::Signals,
    state::State,
    watchman::{Seen, Watchman},
};
use crate::advertise::{Advertised, Advertiser};

impl<M: Miner> MinerNode<M> {
    /// Runs until `shutdown`, or until its miner wants to drain, and lets what is under way end. Dropped, it is as if it was
    /// killed: nothing is paid twice for that.
    ///
    /// # Errors
    /// `nothing_to_serve`, `nothing_advertised` and `no_state` where it was not told enough; `state_too_new`,
    /// `state_unreadable` and `state_of_another_node`; where its module cannot be initialised, does not become well
    /// (`module_unhealthy`), claims nothing (`nothing_claimed`) or does not answer (`own_question_failed`); and as
    /// [`Server::bind`](synapse_http::Server::bind) and [`Server::serve`](synapse_http::Server::serve). What fails later is an
    /// [event](MinerEvent), and is tried again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Self {
            subnet,
            hotkey,
            miner,
            mut settings,
            board,
        } = self;
        let miner = miner.ok_or_else(nothing_to_serve)?;
        let register = settings.register.unwrap_or_else(|| miner.register());
        let directory = settings.directory.take();
        if register != Register::Never && directory.is_none() {
            return Err(no_state());
        }
        let node = hotkey.address().clone();
        let state = State::open(directory, subnet.id(), node.clone()).await?;
        let module = Checked::new(miner.module(), settings.asks_itself);
        let front = Box::pin(Front::open(&mut settings, module.clone(), &subnet, &hotkey)).await?;
        let endpoint = match (settings.endpoint, &front) {
            (Some(endpoint), _) => endpoint,
            (None, Some(front)) => Watch::constant(front.endpoint.clone()?),
            (None, None) => return Err(nothing_advertised()),
        };
        let mut work = Work {
            registrar: Registrar::new(subnet.clone(), node.clone(), register, state, board.clone()),
            subnet,
            node,
            miner,
            module,
            endpoint,
            board: board.clone(),
            heartbeat: settings.heartbeat,
            reach: settings.reach,
            scores: settings.scores,
        };
        let ended = Box::pin(work.run(front, shutdown)).await;
        if ended.is_ok() && settings.leaves {
            work.registrar.leave().await;
        }
        board.note(|status| status.stage = Stage::Ended);
        ended
    }

    /// Runs until SIGTERM or SIGINT. A second one ends it at once, whatever is under way.
    ///
    /// # Errors
    /// As [`run`](Self::run), and where it cannot listen for signals.
    pub async fn run_until_signalled(self) -> Result<(), Error> {
        let mut signals = Signals::listen()?;
        let (stop, stopped) = oneshot::channel();
        let mut running = Box::pin(self.run(async move {
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        }));
        tokio::select! {
            ended = &mut running => return ended,
            () = signals.next() => drop(stop.send(())),
        }
        tokio::select! {
            ended = running => ended,
            () = signals.next() => {
                tracing::warn!("a second signal ended the node before it had drained");
                Ok(())
            }
        }
    }
}

/// All that goes on at once.
struct Work<M> {
    subnet: Arc<dyn Subnet>,
    node: NodeId,
    miner: Arc<M>,
    module: Checked,
    endpoint: Watch<Endpoint>,
    board: Arc<Board>,
    registrar: Registrar,
    heartbeat: Duration,
    reach: Reach,
    scores: Option<Arc<dyn ScoreSource>>,
}

impl<M: Miner> Work<M> {
    async fn run(
        &mut self,
        front: Option<Front>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let (stop, stopped) = oneshot::channel();
        let stop_requested = async move {
            tokio::select! {
                () = shutdown => {}
                Ok(()) = stopped => {}
            }
        };
        match front {
            Some(front) => self.serve(front, stop, stop_requested).await,
            None => self.look_after(stop_requested).await,
        }
    }

    /// Serves, and keeps what is said of it true from when it is ready until it drains.
    async fn serve(
        &mut self,
        front: Front,
        stop: oneshot::Sender<()>,
        stop_requested: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let (ready, is_ready) = oneshot::channel();
        let draining = watch::Sender::new(false);
        let mut drains = draining.subscribe();
        let why = Arc::new(Mutex::new(None));
        let (on_ready, on_draining, reason) = (self.board.clone(), self.board.clone(), why.clone());
        let serving = Box::pin(front.serve(
            stop_requested,
            move |address| {
                on_ready.note(|status| status.stage = Stage::Serving);
                on_ready.say(&MinerEvent::Serving(address));
                let _ = ready.send(());
            },
            move || {
                draining.send_replace(true);
                on_draining.note(|status| status.stage = Stage::Draining);
                let why = reason.lock().unwrap_or_else(PoisonError::into_inner).take();
                on_draining.say(&MinerEvent::Draining(why));
            },
        ));
        let keeping = async {
            if is_ready.await.is_ok() {
                // While it drains, whoever takes its place says where that is.
                tokio::select! {
                    wish = self.keep() => {
                        *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(wish);
                        let _ = stop.send(());
                    }
                    _ = drains.wait_for(|drains| *drains) => {}
                }
            }
            pending::<()>().await;
        };
        tokio::select! {
            served = serving => served,
            () = keeping => Ok(()),
        }
    }

    /// Keeps what is said of a module true that the program serves by itself.
    async fn look_after(&mut self, stop_requested: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop_requested);
        let checked = async {
            self.subnet.synced().await?;
            self.module.check().await
        };
        tokio::select! {
            checked = checked => checked?,
            () = &mut stop_requested => return Ok(()),
        }
        self.board.note(|status| status.stage = Stage::Serving);
        let why = tokio::select! {
            wish = self.keep() => Some(wish),
            () = stop_requested => None,
        };
        self.board.note(|status| status.stage = Stage::Draining);
        self.board.say(&MinerEvent::Draining(why));
        Ok(())
    }

    /// Registers, advertises and looks, until the miner wants to drain; says why.
    async fn keep(&mut self) -> String {
        let (serving, wanted) = Watch::channel(None);
        let mut watchman = Watchman {
            subnet: self.subnet.clone(),
            node: self.node.clone(),
            miner: self.miner.clone(),
            module: Arc::new(self.module.clone()) as Arc<dyn InferenceModule>,
            endpoint: self.endpoint.clone(),
            serving,
            board: self.board.clone(),
            heartbeat: self.heartbeat,
            reach: self.reach.clone(),
            seen: Seen::default(),
        };
        let board = self.board.clone();
        let told = wanted.clone();
        let advertiser = Advertiser::following(self.subnet.clone(), self.node.clone(), wanted)
            .on_change(move |now| tell(&board, &told, now));
        let scores = self.scores.clone().map(|source| {
            let (subnet, node, board) = (self.subnet.clone(), self.node.clone(), self.board.clone());
            ask_each_epoch(source, subnet, node, board)
        });
        let scoring = async {
            if let Some(scores) = scores {
                scores.await;
            }
        };
        tokio::select! {
            wish = watchman.run() => wish,
            wish = never(self.registrar.run()) => wish,
            wish = never(advertiser.run()) => wish,
            wish = never(scoring) => wish,
        }
    }
}

/// What does not end, or has nothing more to do when it does.
async fn never<T>(task: impl Future<Output = ()>) -> T {
    task.await;
    pending().await
}

fn tell(board: &Board, wanted: &Watch<Option<Serving>>, now: &Advertised) {
    let event = match now {
        Advertised::Listed => {
            let Some(serving) = (*wanted.current()).clone() else {
                return;
            };
            MinerEvent::Listed {
                endpoint: serving.endpoint,
                capabilities: serving.capabilities,
            }
        }
        Advertised::Elsewhere(other) => MinerEvent::ListedElsewhere(other.clone()),
        Advertised::Failed(error) => MinerEvent::NotListed(error.clone()),
        // The registrar says so.
        Advertised::Unregistered => return,
    };
    board.say(&event);
}

fn nothing_to_serve() -> Error {
    Error::invalid("nothing_to_serve", "the node was given no module").with_hint("call `serve` before `run`")
}

fn nothing_advertised() -> Error {
    Error::invalid(
        "nothing_advertised",
        "the node serves by other means, and was not told where",
    )
    .with_hint("call `advertise` before `run`")
}

fn no_state() -> Error {
    Error::invalid(
        "no_state",
        "the node is to register itself, and has no directory to remember what it paid",
    )
    .with_hint("call `state` before `run`")
}
