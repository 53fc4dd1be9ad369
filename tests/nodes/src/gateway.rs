//! A validator and its miners, all up.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{Node, Process, Subnet, get};

const PATIENCE: Duration = Duration::from_secs(30);

/// A validator and its miners, all of them up and asked. Fields go in this order: the nodes before their directories.
#[derive(Debug)]
pub struct Gateway {
    /// The miners, by their names in the directory; tests take them out to kill them.
    pub miners: Vec<(String, Node)>,
    /// The validator.
    pub validator: Node,
    /// The chain.
    pub chain: Node,
    /// How each was started: the chain, the validator, the miners.
    pub processes: Vec<Process>,
    /// Where they belong.
    pub subnet: Subnet,
}

impl Gateway {
    /// Starts a chain, a validator and miners that say a word `times` over, one each `pause_ms`; all are up when this
    /// returns.
    ///
    /// # Panics
    /// Where one does not come up.
    pub async fn start(miners: usize, times: u32, pause_ms: u64) -> Self {
        // A gateway alone: probes would be counted among what is under way.
        Self::start_with(miners, times, pause_ms, |validator| {
            validator.arg("--judge=false")
        })
        .await
    }

    /// The same with other options of the validator.
    ///
    /// # Panics
    /// Where one does not come up.
    pub async fn start_with(
        miners: usize,
        times: u32,
        pause_ms: u64,
        options: impl FnOnce(Process) -> Process,
    ) -> Self {
        Self::start_as(miners, times, pause_ms, |subnet| {
            options(subnet.validator("validator"))
        })
        .await
    }

    /// The same with a validator of one's own making, of the key `validator`.
    ///
    /// # Panics
    /// Where one does not come up.
    pub async fn start_as(
        miners: usize,
        times: u32,
        pause_ms: u64,
        validator: impl FnOnce(&Subnet) -> Process,
    ) -> Self {
        let subnet = Subnet::new();
        let mut processes = vec![subnet.chain()];
        let chain = processes[0].start().await;
        let _ = subnet.key("validator");
        subnet.register("validator", "validator").await;
        let mut running = Vec::new();
        for at in 0..miners {
            let key = format!("miner-{at}");
            let name = subnet.key(&key);
            let process = subnet.miner(&key, times, pause_ms);
            running.push((name, process.spawn()));
            subnet.register(&key, "miner").await;
            processes.push(process);
        }
        for (_, miner) in &mut running {
            miner.ready().await;
        }
        let validator = validator(&subnet);
        let gateway = Self {
            miners: running,
            validator: validator.start().await,
            chain,
            processes: {
                processes.insert(1, validator);
                processes
            },
            subnet,
        };
        gateway.until_ready(miners).await;
        gateway
    }

    /// Where clients ask.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.validator.address()
    }

    /// Waits until so many miners can be asked.
    ///
    /// # Panics
    /// Where that takes longer than half a minute; with what the validator wrote to standard error.
    pub async fn until_ready(&self, miners: usize) {
        let until = Instant::now() + PATIENCE;
        while self.metric("synapse_pool_ready").await != Some(to_f64(miners)) {
            assert!(
                Instant::now() < until,
                "not all miners can be asked:\n{}",
                self.validator.stderr()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many requests are under way with miners.
    ///
    /// # Panics
    /// Where that takes longer than half a minute.
    pub async fn until_under_way(&self, requests: usize) {
        let until = Instant::now() + PATIENCE;
        while self.metric("synapse_pool_in_flight").await != Some(to_f64(requests)) {
            assert!(Instant::now() < until, "not all requests are under way");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes a miner out, with its name.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn take(&mut self, name: &str) -> Node {
        let at = self.miners.iter().position(|(miner, _)| miner == name);
        self.miners.swap_remove(at.expect("a miner of this subnet")).1
    }

    /// A number that the validator reports, all its series added up.
    async fn metric(&self, family: &str) -> Option<f64> {
        let text = get(self.address(), "/metrics").await.ok()?.text().await;
        let values = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let of_it = name.strip_prefix(family)?;
            (of_it.is_empty() || of_it.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        values.reduce(|sum, value| sum + value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn to_f64(count: usize) -> f64 {
    count as f64
}
