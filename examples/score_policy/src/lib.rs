//! A score policy of one's own.

use synapse_validator::{
    ScorePolicy,
    evidence::{EpochEvidence, MinerEvidence},
    score::{Estimate, Reason, Score, Scores},
};

/// Pays for quick answers alone: the share of probes that were answered, times 300 ms over the median time to the first
/// content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quickest;

impl ScorePolicy for Quickest {
    fn name(&self) -> &str {
        "quickest"
    }

    fn version(&self) -> u32 {
        1
    }

    fn score(&self, evidence: &EpochEvidence) -> Scores {
        let admitted = evidence.miners.iter().filter(|miner| miner.refused.is_none());
        Scores::new(admitted.map(judge))
    }
}

fn judge(miner: &MinerEvidence) -> Score {
    let (name, probes) = (miner.miner.clone(), &miner.probes);
    let Some(first) = probes.first_content_us.quantile(500) else {
        return Score::no_opinion(name, Reason::new("unseen", "it answered no probe"));
    };
    let answered = probes.answered as f64 / probes.decided() as f64;
    let quick = 300_000.0 / (first as f64).max(300_000.0);
    let reasons = vec![
        Reason::new("quick", format!("first content after {} ms", first / 1000)).with_factor(quick),
        Reason::new(
            "answered",
            format!("{} of {} probes", probes.answered, probes.decided()),
        )
        .with_factor(answered),
    ];
    Score::new(name, Estimate::exact(quick * answered), reasons)
}
