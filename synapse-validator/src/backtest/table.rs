//! A comparison, for people.

use std::fmt;

use synapse_core::NodeId;

use super::{Compared, Comparison};

/// The widest name of a miner that is shown whole: an address is longer.
const WIDEST: usize = 20;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.titles();
        for epoch in &self.epochs {
            writeln!(f, "epoch {}", epoch.epoch)?;
            heading(f, &titles, "score  share")?;
            for miner in &epoch.miners {
                write!(f, "  {:WIDEST$}", shown(&miner.miner))?;
                for compared in &miner.by_policy {
                    cell(f, &score(compared), compared.share)?;
                }
                differences(f, miner.by_policy.iter().map(|compared| compared.difference))?;
                let told = miner.by_policy.last();
                let reason = told.and_then(|compared| compared.reason.as_ref());
                match reason {
                    Some(reason) => writeln!(f, "  {}: {}", reason.code, reason.text)?,
                    None => writeln!(f)?,
                }
            }
            for (title, fault) in titles.iter().zip(&epoch.faults) {
                if let Some(fault) = fault {
                    writeln!(f, "  {title} has no scores: {fault}")?;
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "all {} epochs", self.epochs.len())?;
        heading(f, &titles, "mean share")?;
        for total in &self.totals {
            write!(f, "  {:WIDEST$}", shown(&total.miner))?;
            for share in &total.share {
                cell(f, "", *share)?;
            }
            differences(f, total.difference.iter().copied())?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Comparison {
    /// The policies' names and versions, numbered where two would be alike.
    fn titles(&self) -> Vec<String> {
        let titles = self.policies.iter().enumerate().map(|(at, policy)| {
            let alike = self.policies.iter().filter(|other| *other == policy).count();
            let title = format!("{} {}", policy.name, policy.version);
            if alike > 1 {
                let number = self.policies[..at]
                    .iter()
                    .filter(|other| *other == policy)
                    .count();
                format!("{title} #{}", number + 1)
            } else {
                title
            }
        });
        titles.collect()
    }
}

fn heading(f: &mut fmt::Formatter<'_>, titles: &[String], what: &str) -> fmt::Result {
    write!(f, "  {:WIDEST$}", "miner")?;
    for title in titles {
        write!(f, "  {:>17}", shortened(title, 17))?;
    }
    for title in titles.iter().skip(1) {
        write!(f, "  {:>12}", format!("Δ {}", shortened(title, 10)))?;
    }
    writeln!(f)?;
    write!(f, "  {:WIDEST$}", "")?;
    for _ in titles {
        write!(f, "  {what:>17}")?;
    }
    writeln!(f)
}

fn cell(f: &mut fmt::Formatter<'_>, score: &str, share: f64) -> fmt::Result {
    write!(f, "  {score:>8} {:>6.2} %", share * 100.0)
}

fn differences(f: &mut fmt::Formatter<'_>, differences: impl Iterator<Item = f64>) -> fmt::Result {
    for difference in differences.skip(1) {
        write!(f, "  {:>+10.2} %", difference * 100.0)?;
    }
    Ok(())
}

fn score(compared: &Compared) -> String {
    compared
        .score
        .map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"))
}

fn shown(miner: &NodeId) -> String {
    shortened(miner.as_str(), WIDEST)
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
