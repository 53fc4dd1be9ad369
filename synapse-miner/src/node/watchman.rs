//! Looking after what a node serves, and what its subnet is told of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use synapse_core::{
    Endpoint, Health, HealthStatus, InferenceModule, ModuleCapabilities, NodeId, Serving, Subnet, Watch,
    WatchSender,
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Miner, MinerEvent,
    board::Board,
    check::{caught, health_of},
    event::Topic,
    reach::Reach,
    registrar::news,
    status::millis,
};

/// Looks of a heartbeat.
const LOOKS: u32 = 6;

/// Looks at the module several times a heartbeat, and after everything else once.
pub(super) struct Watchman<M> {
    pub(super) subnet: Arc<dyn Subnet>,
    pub(super) node: NodeId,
    pub(super) miner: Arc<M>,
    pub(super) module: Arc<dyn InferenceModule>,
    pub(super) endpoint: Watch<Endpoint>,
    /// What the directory is to say.
    pub(super) serving: WatchSender<Option<Serving>>,
    pub(super) board: Arc<Board>,
    pub(super) heartbeat: Duration,
    pub(super) reach: Reach,
    pub(super) seen: Seen,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    health: Option<Health>,
    /// What the module claims, and its digest.
    claimed: Option<(ModuleCapabilities, String)>,
    /// The digest of something else, which counts once it was seen twice: an engine that starts claims one model at a time.
    other: Option<String>,
}

impl<M: Miner> Watchman<M> {
    /// Looks until the miner wants to drain, and says why.
    pub(super) async fn run(&mut self) -> String {
        let mut looks = interval(self.heartbeat / LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_beat = 0;
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let health = self.look().await;
                    let wish = self.board.guarded("drain", || self.miner.drain(&health));
                    if let Some(why) = wish.flatten() {
                        return why;
                    }
                    if until_beat == 0 {
                        self.beat().await;
                        until_beat = LOOKS;
                    }
                    until_beat -= 1;
                }
                () = news(&mut self.endpoint) => self.advertise(),
            }
        }
    }

    async fn look(&mut self) -> Health {
        let mut health = health_of(&*self.module).await;
        let before = self.seen.health.take();
        let was = before.as_ref().map_or(HealthStatus::Ready, Health::status);
        // A module may say 'since now' each time that it is asked.
        if let Some(before) = before.filter(|before| before.status() == health.status()) {
            let since = before.since_instant().min(health.since_instant());
            health = health.since(since);
        }
        let metrics = self.board.guarded("get_metrics", || self.module.get_metrics());
        self.board.note(|status| {
            status.saw_health(&health);
            if let Some(metrics) = &metrics {
                status.saw_metrics(metrics);
            }
        });
        if was != health.status() {
            self.board.say(&match health.status() {
                HealthStatus::Ready => MinerEvent::Healthy,
                _ => MinerEvent::Unhealthy(health.reason().unwrap_or("it does not say why").to_owned()),
            });
        }
        self.seen.health = Some(health.clone());
        self.look_at_claims();
        self.advertise();
        health
    }

    fn look_at_claims(&mut self) {
        let asked = self
            .board
            .guarded("get_capabilities", || self.module.get_capabilities());
        let Some(capabilities) = asked else { return };
        let digest = capabilities.digest();
        let known = self.seen.claimed.as_ref().map(|(_, known)| known);
        if known == Some(&digest) {
            self.seen.other = None;
            return;
        }
        if known.is_some() && self.seen.other.as_ref() != Some(&digest) {
            self.seen.other = Some(digest);
            return;
        }
        if known.is_some() {
            let digest = digest.clone();
            self.board.say(&MinerEvent::CapabilitiesChanged { digest });
        }
        self.board.note(|status| {
            (status.capabilities, status.digest) = (Some(capabilities.clone()), Some(digest.clone()));
        });
        self.seen.claimed = Some((capabilities, digest));
    }

    /// Has the directory say what is so. What cannot be served is not told, and taken back where it was.
    fn advertise(&self) {
        let (Some(health), Some((claimed, digest))) = (&self.seen.health, &self.seen.claimed) else {
            return;
        };
        let endpoint = (*self.endpoint.current()).clone();
        self.board
            .note(|status| status.endpoint = Some(endpoint.to_string()));
        let here = Serving::new(endpoint);
        let before = self.serving.current();
        let advertises = self
            .board
            .guarded("advertises", || self.miner.advertises(claimed, health));
        let Some(advertises) = advertises else { return };
        let wanted = if advertises {
            if health.status() == HealthStatus::Ready && self.board.has_alert(Topic::Health) {
                self.board.say(&MinerEvent::Healthy);
            }
            Some(here.with_capabilities(digest))
        } else if before.is_some() || self.claims_in_directory() {
            Some(here)
        } else {
            None
        };
        if *before == wanted {
            return;
        }
        if wanted
            .as_ref()
            .is_some_and(|wanted| wanted.capabilities.is_none())
        {
            let why = health.reason().unwrap_or("its module does not say why");
            self.board.say(&MinerEvent::Withdrawn(why.to_owned()));
        }
        self.serving.set(wanted);
    }

    fn claims_in_directory(&self) -> bool {
        let directory = self.subnet.directory().current();
        directory
            .get(&self.node)
            .is_some_and(|member| member.capabilities.is_some())
    }

    async fn beat(&self) {
        let epoch = *self.subnet.epochs().current();
        let endpoint = (*self.endpoint.current()).clone();
        match caught("reachable_by", async { (self.reach)(endpoint).await }).await {
            Ok(()) if self.board.has_alert(Topic::Reach) => self.board.say(&MinerEvent::Reachable),
            Err(error) if !self.board.has_alert(Topic::Reach) => {
                self.board.say(&MinerEvent::Unreachable(error));
            }
            _ => {}
        }
        self.board.note(|status| {
            status.epoch = Some(epoch);
            status.heartbeat_ms = Some(millis(SystemTime::now()));
        });
    }
}

impl<M> fmt::Debug for Watchman<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchman")
            .field("node", &self.node)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
