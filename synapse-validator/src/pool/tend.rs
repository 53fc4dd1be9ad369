//! Looking after one member, from its joining to its leaving.

use std::{sync::Arc, time::Duration};

use semver::VersionReq;
use synapse_core::{Error, ErrorKind, InferenceModule as _, ModuleCapabilities};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    miner::{Miner, bounded},
    random::Random,
    roster::Roster,
    settings::Settings,
};

/// Looks in a row that a ready member must miss to be asked no more.
const MISSED_LOOKS: u32 = 2;
/// The code of an answer that says so itself.
const UNHEALTHY: &str = "miner_unhealthy";
/// The code of an error that says that a module and this node do not fit.
const INTERFACE_MISMATCH: &str = "interface_mismatch";

/// What looking after a member takes.
pub(super) struct Care {
    pub(super) roster: Arc<Roster>,
    settings: Settings,
    interface: VersionReq,
    initializing: Semaphore,
    looking: Semaphore,
    random: Random,
}

impl Care {
    pub(super) fn new(roster: Arc<Roster>, settings: Settings, interface: VersionReq) -> Self {
        Self {
            roster,
            settings,
            interface,
            initializing: Semaphore::new(settings.at_once),
            looking: Semaphore::new(settings.at_once),
            random: Random::new(),
        }
    }

    /// Looks after `miner` until it left and nothing is under way with it; then shuts it down.
    pub(super) async fn tend(self: Arc<Self>, miner: Arc<Miner>) {
        tokio::select! {
            biased;
            () = self.let_go(&miner) => {}
            // Also as it leaves: it may be why it leaves that it answers no more.
            () = self.keep_ready(&miner) => {}
        }
        let (limit, ending) = (self.settings.shutdown_timeout, miner.module().shutdown());
        if let Err(error) = bounded("did not shut down", limit, ending).await {
            tracing::warn!(miner = %miner.node(), %error, "a miner did not shut down");
        }
    }

    /// Waits until it leaves, lets what is under way with it end, for a while, and ends what is left.
    async fn let_go(&self, miner: &Miner) {
        miner.left().await;
        if timeout(self.settings.drain, miner.drained()).await.is_err() {
            tracing::warn!(miner = %miner.node(), in_flight = miner.in_flight(), "replies outlast the drain, and are ended");
            miner.silence().leave();
        }
    }

    /// Initialises it until it answers, looks at it as long as it does, and begins again.
    async fn keep_ready(&self, miner: &Miner) {
        let mut pause = self.settings.retry_pause;
        let mut misfit = false;
        loop {
            let error = match self.initialize(miner).await {
                Ok(()) => {
                    misfit = false;
                    pause = self.settings.retry_pause;
                    self.watch(miner).await
                }
                Err(error) => error,
            };
            let news = miner.is_down();
            if error.code() == INTERFACE_MISMATCH {
                // Once, until it fits: it may have been silent before.
                if !std::mem::replace(&mut misfit, true) {
                    tracing::warn!(miner = %miner.node(), %error, "a miner speaks another interface");
                }
            } else if news {
                tracing::warn!(miner = %miner.node(), %error, "a miner does not answer");
            }
            if news {
                self.roster.note_change();
            }
            let next = self.pause_before_retry(miner, &error, pause);
            sleep(self.random.jittered(next)).await;
            pause = (pause * 2).min(self.settings.retry_pause_max);
        }
    }

    /// `pause`, or less where something is under way: whoever waits on a member that is not ready waits no longer for it
    /// to be found silent than with one that is.
    fn pause_before_retry(&self, miner: &Miner, error: &Error, pause: Duration) -> Duration {
        match error.kind() {
            _ if miner.in_flight() == 0 => pause,
            ErrorKind::Timeout => self.settings.retry_pause,
            _ => pause.min(self.settings.probe_interval),
        }
    }

    async fn initialize(&self, miner: &Miner) -> Result<(), Error> {
        {
            let _permit = self.initializing.acquire().await;
            // Whether one that fell silent is back is known sooner than whether it can be initialised; and one that has
            // something under way may fall silent now.
            if (miner.silence().is_any() || miner.in_flight() > 0)
                && let Err(error) = self.examine(miner).await
                && !says_so(&error)
            {
                return Err(error);
            }
            let limit = self.settings.initialize_timeout;
            bounded("did not initialise", limit, miner.module().initialize()).await?;
        }
        self.look(miner).await
    }

    /// Looks at a ready member until it is not to be asked, and says why.
    async fn watch(&self, miner: &Miner) -> Error {
        let mut missed = 0;
        loop {
            let pause = if missed == 0 {
                self.settings.probe_interval
            } else {
                self.settings.retry_pause
            };
            sleep(self.random.jittered(pause)).await;
            match self.look(miner).await {
                Ok(()) => missed = 0,
                Err(error) if says_so(&error) || missed + 1 == MISSED_LOOKS => return error,
                Err(_) => missed += 1,
            }
        }
    }

    /// Whether it can be asked: it says that it is well, and speaks an interface that fits.
    async fn look(&self, miner: &Miner) -> Result<(), Error> {
        let capabilities = {
            let _permit = self.looking.acquire().await;
            self.examine(miner).await?
        };
        capabilities.check_interface(&self.interface)?;
        if miner.answers(capabilities) {
            tracing::info!(miner = %miner.node(), "a miner is ready");
            self.roster.note_change();
        }
        Ok(())
    }

    /// Asks for health and capabilities, and keeps count of how often nothing comes back.
    async fn examine(&self, miner: &Miner) -> Result<ModuleCapabilities, Error> {
        let module = miner.module();
        let limit = self.settings.probe_timeout;
        let examined = bounded("did not say how it is", limit, async {
            let health = module.health_check().await?;
            if !health.is_serving() {
                let why = health.reason().unwrap_or("no reason given").to_owned();
                return Err(Error::unavailable(
                    UNHEALTHY,
                    format!("the miner is unhealthy: {why}"),
                ));
            }
            miner.claims(health.capacity());
            Ok(module.get_capabilities())
        })
        .await;
        miner.silence().note(&examined);
        examined
    }
}

/// Whether this is an answer, that the member is not to be asked, rather than none.
fn says_so(error: &Error) -> bool {
    matches!(error.code(), UNHEALTHY | INTERFACE_MISMATCH)
}
