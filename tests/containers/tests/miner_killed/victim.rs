//! A miner that is killed and started again, and what there must be of it.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use containers::{left, running};
use nodes_tests::{Node, Process, Random, Signal};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    load::Load,
    machine::{MARK, contained, files, noted, started},
};

/// From when a miner is ready to when everything of it is as it should be, and it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// How many containers it runs.
pub(crate) const REPLICAS: usize = 2;

/// What a miner's engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// One llama-server.
    Program,
    /// Containers of one image.
    Image,
}

/// A miner that is killed.
pub(crate) struct Victim {
    pub(crate) engine: Engine,
    /// In the directory.
    pub(crate) name: String,
    pub(crate) process: Process,
    node: Node,
    docker: String,
    killed: Instant,
    is_serving: bool,
    /// From kills to the next complete reply.
    pub(crate) gone: Vec<(Instant, Instant)>,
    found: usize,
}

impl Victim {
    pub(crate) fn begin(engine: Engine, name: String, process: Process, docker: &str) -> Self {
        let mark = process.data().display().to_string();
        let process = process
            .arg(format!("--listen={}", free_address()))
            .env("DOCKER_HOST", docker)
            .env(MARK, mark);
        Self {
            engine,
            name,
            node: process.spawn(),
            process,
            docker: docker.to_owned(),
            killed: Instant::now(),
            is_serving: false,
            gone: Vec::new(),
            found: 0,
        }
    }

    /// Kills it and starts it again, and says whether it was ready. Some are killed while they end in order.
    pub(crate) async fn kill_and_restart(&mut self, random: &mut Random) -> bool {
        let was_ready = self.is_serving || timeout(LOOK, self.node.ready()).await.is_ok();
        if random.below(4) == 0 {
            self.node.signal(Signal::TERM);
            sleep(Duration::from_millis(random.below(1_000))).await;
        }
        self.kill().await;
        self.node = self.process.spawn();
        was_ready
    }

    async fn kill(&mut self) {
        self.killed = Instant::now();
        self.is_serving = false;
        self.node.signal(Signal::KILL);
        self.node.ended(PATIENCE).await.expect("SIGKILL ends everything");
        self.found += found(&self.node.stderr());
    }

    /// Waits until it is ready, all of it is as it should be, and the validator's users get its answers.
    pub(crate) async fn serves(&mut self, load: &mut Load) {
        if self.is_serving {
            return;
        }
        self.settles().await;
        let until = Instant::now() + PATIENCE;
        let back = loop {
            if let Some(back) = load.answered(&self.name, self.killed) {
                break back;
            }
            assert!(
                Instant::now() < until,
                "nobody gets an answer of {}: {:#?}\n{}",
                self.name,
                load.endings(),
                self.node.stderr()
            );
            sleep(LOOK).await;
        };
        self.gone.push((self.killed, back));
        self.is_serving = true;
    }

    /// Waits until all of it is as it should be. What an earlier life left may still be ending when it is ready.
    async fn settles(&mut self) {
        self.node.ready().await;
        let until = Instant::now() + PATIENCE;
        while let Err(why) = self.is_settled() {
            assert!(Instant::now() < until, "{why}\n{}", self.node.stderr());
            sleep(LOOK).await;
        }
    }

    /// Whether it has one engine and whoever ends that after it, or its replicas, and nothing else.
    fn is_settled(&self) -> Result<(), String> {
        let started = started(&self.mark(), Some(self.node.pid()));
        let contained = contained(&self.docker, &self.owner())?;
        let (heirs, engines): (Vec<_>, Vec<_>) = started
            .iter()
            .partition(|one| one.command.contains("read -r word"));
        let is_so = match self.engine {
            Engine::Program => {
                let noted = noted(self.process.data());
                matches!(engines[..], [engine] if Some(u64::from(engine.pid)) == noted)
                    && heirs.len() == 1
                    && contained == 0
            }
            Engine::Image => {
                let running = running(&self.docker, &self.owner()).len();
                started.is_empty() && (contained, running) == (REPLICAS, REPLICAS)
            }
        };
        match is_so {
            true => Ok(()),
            false => Err(format!("{contained} containers, and {started:#?}")),
        }
    }

    /// Kills it for the last time, starts it once more and ends it in order: nothing is left. `kept` are its files when it
    /// first served.
    pub(crate) async fn ends(mut self, kept: &BTreeSet<String>) {
        self.kill().await;
        let until = Instant::now() + PATIENCE;
        while let [left, ..] = &started(&self.mark(), None)[..] {
            assert!(Instant::now() < until, "it outlives its miner: {left:?}");
            sleep(LOOK).await;
        }
        self.node = self.process.spawn();
        self.settles().await;
        self.node.signal(Signal::TERM);
        let ended = self.node.ended(PATIENCE).await.expect("it ends in order");
        assert!(ended.success(), "{ended}: {}", self.node.stderr());
        while let [left, ..] = &started(&self.mark(), None)[..] {
            assert!(
                Instant::now() < until + PATIENCE,
                "it outlives its miner: {left:?}"
            );
            sleep(LOOK).await;
        }
        assert_eq!(
            left(&self.docker, &self.owner()),
            [""; 0],
            "no container and no directory of one"
        );
        let more: Vec<_> = files(self.process.data()).difference(kept).cloned().collect();
        assert_eq!(more, [""; 0], "its directory does not grow");
    }

    /// Engines and containers of earlier lives that it said it ended.
    pub(crate) fn found(&self) -> usize {
        self.found + found(&self.node.stderr())
    }

    fn mark(&self) -> String {
        self.process.data().display().to_string()
    }

    /// As Docker knows it.
    fn owner(&self) -> String {
        self.name.to_lowercase()
    }
}

/// How many engines and containers of an earlier life a miner says that it ended.
fn found(said: &str) -> usize {
    let engines = said.matches("from a miner that is gone").count();
    let containers = said
        .lines()
        .filter_map(|line| line.strip_suffix(" containers of an earlier run were removed"));
    engines
        + containers
            .filter_map(|count| count.parse::<usize>().ok())
            .sum::<usize>()
}

/// An address of loopback that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
