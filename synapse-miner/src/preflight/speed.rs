//! How fast it is, beside the others.

use std::time::Duration;

use synapse_core::{
    SubnetSummary,
    probe::{Answer, Claim},
};

use super::{Check, Report, asking::Claims};

const NAME: &str = "speed";
/// Answers of which the median is taken.
const ENOUGH: usize = 3;
/// Below this share of the subnet's median a miner earns little, if anything.
const FAR: f64 = 0.5;
/// Above this one it is as good as the median.
const NEAR: f64 = 0.9;

/// Takes the median of what `answers` measured, of some more where they are few, and compares it with the subnet's.
pub(super) async fn check(
    claims: &Claims,
    mut answers: Vec<Answer>,
    summary: Option<&SubnetSummary>,
    report: &mut Report,
) {
    let model = claims
        .capabilities
        .models
        .first()
        .map(|model| Claim::Model(model.id.clone()));
    let claim = match claims.capabilities.streaming {
        true => Some(Claim::Streaming),
        false => model,
    };
    let told = |answers: &[Answer]| answers.iter().filter_map(Answer::tokens_per_second).count();
    for number in 10..16 {
        let Some(claim) = claim.as_ref().filter(|_| told(&answers) < ENOUGH) else {
            break;
        };
        match claims.ask(claim, number).await {
            Some((_, answer)) if answer.error.is_none() => answers.push(answer),
            _ => break,
        }
    }
    let speed = median(answers.iter().filter_map(Answer::tokens_per_second));
    let first = median(
        answers
            .iter()
            .filter_map(|answer| answer.first_content)
            .map(|time| time.as_secs_f64()),
    );
    report.add(judge(speed, first, summary));
}

fn judge(speed: Option<f64>, first: Option<f64>, summary: Option<&SubnetSummary>) -> Check {
    let (Some(speed), Some(first)) = (speed, first) else {
        return Check::skipped(NAME, "no reply was long enough to tell");
    };
    let mut text = [
        format!("{speed:.1} tokens a second"),
        format!("first content after {:.3?}", Duration::from_secs_f64(first)),
    ];
    let Some(summary) = summary else {
        return Check::skipped(
            NAME,
            format!("{}; there is nothing to compare that with", text.join(", ")),
        )
        .hint("a validator's summary of the subnet says how the others do");
    };
    let mut worst = f64::INFINITY;
    if let Some(theirs) = summary.speed_mtps.filter(|speed| *speed > 0) {
        let theirs = number(theirs) / 1000.0;
        let share = speed / theirs;
        worst = worst.min(share);
        text[0] = format!(
            "{}, {:.0} % of the subnet's median of {theirs:.1}",
            text[0],
            share * 100.0
        );
    }
    if let Some(theirs) = summary.first_content_us.filter(|time| *time > 0) {
        let share = first * 1e6 / number(theirs);
        worst = worst.min(1.0 / share);
        let shown = Duration::from_micros(theirs);
        text[1] = format!(
            "{}, {:.0} % of the subnet's median of {shown:.3?}",
            text[1],
            share * 100.0
        );
    }
    let text = text.join("; ");
    match () {
        () if worst.is_infinite() => Check::skipped(
            NAME,
            format!("{text}; the summary has nothing to compare that with"),
        ),
        () if worst < FAR => Check::failed(NAME, format!("too slow: {text}")).hint(
            "a faster machine, a smaller model or fewer requests at once: who is this slow earns little",
        ),
        () if worst < NEAR => Check::warning(NAME, text),
        () => Check::passed(NAME, text),
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "speeds and times far below 2^52")]
fn number(value: u64) -> f64 {
    value as f64
}
