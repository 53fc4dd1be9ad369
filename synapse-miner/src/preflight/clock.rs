//! Whether the clock is right enough for signed requests.

use std::time::SystemTime;

use synapse_http::OpenAiModule;

use super::{Check, Preflight, Report, door::Entered};

const NAME: &str = "clock";
/// A request that was signed longer ago than this by the node's clock is refused, in seconds.
const AHEAD: f64 = 10.0;
/// And one that was signed so much later than it.
const BEHIND: f64 = 2.0;
/// What is worth a word.
const A_WORD: f64 = 1.0;

/// Compares the node's clock with another one: with the one that was named, or, of a node that runs elsewhere, with this
/// machine's.
pub(super) async fn check(preflight: &Preflight, entered: &Entered, is_ours: bool, report: &mut Report) {
    let theirs = entered
        .look
        .as_ref()
        .and_then(|(look, at)| Some(apart(look.clock?, *at)));
    let (whose, node) = match (is_ours, theirs) {
        (true, _) => ("this machine's clock", 0.0),
        (false, Some(theirs)) => ("the node's clock", theirs),
        (false, None) => {
            report.add(Check::skipped(NAME, "the node does not say what time it has"));
            return;
        }
    };
    let check = match &preflight.reference {
        Some(url) => match reference(preflight, url).await {
            Ok((ours, sharp)) => judge(whose, node + ours, &format!("that of {url}"), sharp),
            Err(why) => Check::warning(NAME, format!("the clock of {url} cannot be asked: {why}")),
        },
        None if is_ours => Check::skipped(
            NAME,
            "no other clock was named to compare this machine's with; validators refuse and are refused where it is wrong",
        )
        .hint("name a validator of the subnet"),
        None => judge(whose, node, "this machine's", 0.0),
    };
    report.add(check);
}

/// How far this machine's clock is ahead of the one at `url`, in seconds, and how sure that is.
async fn reference(preflight: &Preflight, url: &str) -> Result<(f64, f64), String> {
    let clock = &preflight.dial.clock;
    let before = clock.now();
    let look = OpenAiModule::builder(url).look("/health/live").await;
    let look = look.map_err(|error| error.to_string())?;
    let (theirs, sharp) = match (look.clock, look.date) {
        (Some(clock), _) => (clock, 0.0),
        // Whole seconds: half of one later on average.
        (None, Some(date)) => (date + std::time::Duration::from_millis(500), 0.5),
        (None, None) => return Err("it does not say what time it has".to_owned()),
    };
    let waited = apart(clock.now(), before).max(0.0);
    Ok((apart(before, theirs) + waited / 2.0, sharp + waited / 2.0))
}

fn judge(whose: &str, ahead: f64, of: &str, sharp: f64) -> Check {
    let side = if ahead < 0.0 { "behind" } else { "ahead of" };
    let text = format!("{whose} is {:.1} s {side} {of}", ahead.abs());
    let hint = "set the clock by NTP";
    if ahead - sharp > AHEAD || -ahead - sharp > BEHIND {
        let why = "so signed requests are refused";
        return Check::failed(NAME, format!("{text}, {why}")).hint(hint);
    }
    match ahead.abs() - sharp > A_WORD {
        true => Check::warning(NAME, text).hint(hint),
        false => Check::passed(NAME, text),
    }
}

/// How much later one time is than another, in seconds.
fn apart(one: SystemTime, other: SystemTime) -> f64 {
    match one.duration_since(other) {
        Ok(later) => later.as_secs_f64(),
        Err(earlier) => -earlier.duration().as_secs_f64(),
    }
}
