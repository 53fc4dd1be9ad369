//! What was counted, and what miners said of it.

use std::collections::BTreeMap;

use synapse_core::{MetricsData, NodeId};

use super::CountedUsage;

/// Models, and miners, whose totals are kept apart; others share one, so that made-up names cost no memory.
const APART: usize = 256;
/// Under which name they do.
const OTHER: &str = "other";

/// Sums by model and by miner.
#[derive(Debug, Default)]
pub(super) struct Totals {
    models: BTreeMap<String, OfModel>,
    miners: BTreeMap<String, OfMiner>,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfModel {
    input: u64,
    output: u64,
    mismatches: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfMiner {
    mismatches: u64,
    compared: u64,
    overclaimed: u64,
    too_long: u64,
}

impl Totals {
    pub(super) fn add(&mut self, model: &str, miner: Option<&NodeId>, usage: &CountedUsage) {
        let mismatch = u64::from(usage.is_mismatch());
        let total = of(&mut self.models, model);
        total.input = total.input.saturating_add(usage.input.tokens());
        total.output = total.output.saturating_add(usage.output.tokens());
        total.mismatches += mismatch;
        let (claim, is_too_long) = (usage.claim(), usage.is_too_long());
        let (Some(miner), true) = (miner, claim.is_some() || is_too_long) else {
            return;
        };
        let total = of(&mut self.miners, miner.as_str());
        total.too_long += u64::from(is_too_long);
        total.mismatches += mismatch;
        if let Some(claim) = claim {
            total.compared = total.compared.saturating_add(claim.counted);
            total.overclaimed = total.overclaimed.saturating_add(claim.over);
        }
    }

    pub(super) fn metrics(&self, metrics: &mut MetricsData) {
        for (model, total) in &self.models {
            let labels = [("model", model.as_str())];
            metrics.counter_of("tokens.input", &labels, total.input);
            metrics.counter_of("tokens.output", &labels, total.output);
            metrics.counter_of("usage.mismatch", &labels, total.mismatches);
        }
        for (miner, total) in &self.miners {
            let labels = [("miner", miner.as_str())];
            metrics.counter_of("usage.mismatch", &labels, total.mismatches);
            metrics.counter_of("usage.compared_tokens", &labels, total.compared);
            metrics.counter_of("usage.overclaimed_tokens", &labels, total.overclaimed);
            metrics.counter_of("usage.beyond_max_tokens", &labels, total.too_long);
        }
    }
}

fn of<'a, T: Default>(totals: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let known = totals.contains_key(name) || totals.len() < APART;
    totals
        .entry(if known { name } else { OTHER }.to_owned())
        .or_default()
}
