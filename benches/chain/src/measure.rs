//! What was measured, and how it is told.

use std::{fmt, time::Duration};

use crate::Fault;

/// One block's times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// To verify its transactions and let them wait.
    pub(crate) admission: Duration,
    /// To make it, commit it and tell of it.
    pub(crate) block: Duration,
}

/// The times of all blocks of a kind.
#[derive(Debug)]
pub(crate) struct Figures {
    kind: &'static str,
    rounds: Vec<Round>,
}

impl Figures {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// The middle one and the slowest, in milliseconds.
    fn spread(&self, of: impl Fn(&Round) -> Duration) -> (f64, f64) {
        let mut times: Vec<f64> = self
            .rounds
            .iter()
            .map(|round| of(round).as_secs_f64() * 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        let last = times.last().copied().unwrap_or_default();
        (times.get(times.len() / 2).copied().unwrap_or_default(), last)
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let (block, slowest) = self.spread(|round| round.block);
        let (admission, _) = self.spread(|round| round.admission);
        serde_json::json!({
            "kind": self.kind,
            "block_ms": { "median": block, "slowest": slowest },
            "admission_ms": { "median": admission },
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (block, slowest) = self.spread(|round| round.block);
        let (admission, _) = self.spread(|round| round.admission);
        write!(
            f,
            "{:>9}: a block {block:.1} ms (slowest {slowest:.1}), its transactions' admission {admission:.1} ms",
            self.kind
        )
    }
}

/// What the process holds in memory, as Linux counts it.
pub(crate) fn rss_mib() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(mib(kib * 1024))
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
