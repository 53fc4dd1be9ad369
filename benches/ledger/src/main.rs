//! What a ledger of so many requests costs to write, to open and to ask: prints seconds and rates.
//!
//! ```text
//! cargo run --profile bench --package ledger_speed -- [REQUESTS]
//! ```

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use synapse_core::{Micros, NodeId, OperationId, TokenCount, testkit::ManualClock};
use synapse_validator::{
    ledger::{By, Closing, Ledger, Opening, Outcome, Payer, Query, Settings, Span, TopUp, query, rows},
    rate_limit::{Limits, Quota, RateLimitLayer},
};

/// 1 March 2026, 00:00 UTC.
const MARCH: u64 = 1_772_323_200_000;
const MONTH: u64 = 31 * 24 * 60 * 60 * 1000;
const CALLERS: u64 = 1000;
const MODELS: u64 = 4;
const MINERS: u64 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let requests = std::env::args()
        .nth(1)
        .map_or(Ok(10_000_000), |count| count.parse())?;
    let folder = tempfile::tempdir()?;
    let directory = folder.path().join("ledger");

    write(&directory, requests)?;
    let bytes: u64 = fs::read_dir(directory.join("segments"))?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum::<Result<u64, std::io::Error>>()?;
    println!(
        "on the disk: {} MiB, {} bytes a request",
        bytes >> 20,
        bytes / requests.max(1)
    );

    for _ in 0..3 {
        let start = Instant::now();
        let ledger = Ledger::open(&directory, Settings::default())?;
        println!(
            "opened in {:.3} s: {}",
            start.elapsed().as_secs_f64(),
            ledger.recovered()
        );
        let start = Instant::now();
        let spent = ledger.spent(&Payer::Caller("caller-7".into()), Span::Month, MARCH);
        println!(
            "  what a caller spent this month, from memory: {spent} in {:?}",
            start.elapsed()
        );
    }
    let mut of_month = Query::default();
    of_month.caller = Some("caller-7".into());
    of_month.from = Some(MARCH);
    of_month.until = Some(MARCH + MONTH);
    for by in [vec![], vec![By::Day, By::Model], vec![By::Miner]] {
        of_month.by = by;
        let start = Instant::now();
        let report = query(&directory, &of_month)?;
        println!(
            "a month's totals of one caller by {:?}: {:.3} s, {} requests in {} groups",
            of_month.by,
            start.elapsed().as_secs_f64(),
            report.totals.requests,
            report.groups.len()
        );
    }
    let start = Instant::now();
    let mut count = 0_u64;
    rows(&directory, &of_month, |_| {
        count += 1;
        true
    })?;
    println!("its {count} rows: {:.3} s", start.elapsed().as_secs_f64());
    // As a gateway does that starts on the month's last day.
    let limits =
        Limits::per_caller(Quota::token_budget_per_month(1 << 40).and(Quota::tokens_per_day(1 << 30)));
    let last = UNIX_EPOCH + Duration::from_millis(MARCH + MONTH - 1);
    let limits = RateLimitLayer::new(limits).clock(ManualClock::at(last));
    let start = Instant::now();
    let restored = limits.restore(&directory)?;
    println!("{restored}: {:.3} s", start.elapsed().as_secs_f64());
    fs::remove_file(directory.join("checkpoint"))?;
    let start = Instant::now();
    drop(Ledger::open(&directory, Settings::default())?);
    println!(
        "opened from every row, without what is stored beside them: {:.3} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn write(directory: &Path, requests: u64) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::open(directory, Settings::default())?;
    for caller in 0..CALLERS {
        let name = format!("caller-{caller}");
        ledger.top_up(&TopUp::new(
            OperationId::from(&*name),
            MARCH,
            &*name,
            Micros(1 << 40),
        ))?;
    }
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..requests {
        let at = MARCH + number * (MONTH / requests.max(1));
        // Spread, and the same each time.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let mut opening = Opening::new(
            at,
            format!("{number:032x}").into(),
            format!("model-{}", spread % MODELS),
        );
        opening.caller = Some(format!("caller-{}", spread % CALLERS).into());
        opening.key = Some(format!("key-{}", spread % CALLERS).into());
        opening.prompt = TokenCount::exact(spread % 4096);
        let before = Instant::now();
        let (entry, _) = ledger.begin(&opening)?;
        let mut closing = Closing::new(entry, at + 900, Outcome::Complete);
        closing.miner = Some(NodeId::from(format!("miner-{}", spread / CALLERS % MINERS)));
        closing.prompt = opening.prompt;
        closing.completion = TokenCount::exact(spread % 512);
        closing.events = spread % 512;
        closing.charge = Micros(spread % 10_000);
        closing.first_ms = Some(120);
        closing.total_ms = 900;
        ledger.end(&closing)?;
        longest = longest.max(before.elapsed());
    }
    let took = start.elapsed();
    println!(
        "{requests} requests begun and ended in {:.1} s: {:.2} µs each, the slowest {longest:?}",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / requests as f64
    );
    Ok(())
}
