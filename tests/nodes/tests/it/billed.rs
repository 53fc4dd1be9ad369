//! A gateway that is killed at random moments under load: what its users received is what its ledger says.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use nodes_tests::{Ending, Random, Reply, Subnet, ask, ask_whole, kills};
use serde_json::Value;
use synapse_validator::ledger::{Outcome, Query, Row, rows};
use tokio::time::{Instant, sleep, timeout};

/// Users who ask at once.
const USERS: u32 = 4;
/// How long a reply may take before its user gives it up; the gateway it asked may be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a token costs, in millionths, and so a million of them in units: of a prompt, and of a reply.
const PRICES: [u64; 2] = [7, 11];

/// What became of a request, as its user saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The reply came whole, so many bytes of text.
    Whole(usize),
    /// It began.
    Begun,
}

type Log = Arc<Mutex<BTreeMap<String, Seen>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_whole_has_one_closing_row_whenever_the_gateway_is_killed() {
    let kills = kills(30);
    let mut random = Random::seeded("a gateway");
    let subnet = Subnet::new();
    let _chain = subnet.chain().start().await;
    for (key, role) in [("validator", "validator"), ("miner", "miner")] {
        let _ = subnet.key(key);
        subnet.register(key, role).await;
    }
    let _miner = subnet.miner("miner", 5, 20).start().await;
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    let [input, output] = PRICES;
    let book = format!(
        "[[version]]\nnumber = 1\nfrom = 2026-01-01\n[version.models.shout]\n\
         prompt = \"{input}\"\ncompletion = \"{output}\"\n"
    );
    fs::write(&prices, book).unwrap();
    let process = subnet
        .validator("validator")
        .arg(format!("--prices={}", prices.display()))
        .arg("--judge=false")
        .arg("--requests-per-minute=1000000")
        .arg("--tokens-per-day=1000000000");
    let mut validator = process.start().await;
    let log = Log::default();
    let users: Vec<_> = (0..USERS)
        .map(|user| tokio::spawn(keep_asking(validator.address(), user, log.clone())))
        .collect();
    for round in 1..=kills {
        // Around its start, and well into its work.
        let until = Instant::now() + Duration::from_millis(50 + random.below(1_200));
        tokio::time::sleep_until(until).await;
        validator = process.restart(validator).await;
        if round % 100 == 0 {
            println!("{round} kills");
        }
    }
    sleep(Duration::from_secs(1)).await;
    for user in users {
        user.abort();
        let _ = user.await;
    }
    validator.kill().await;
    // Recovery closes what went on as it was killed.
    process.restart(process.start().await).await.kill().await;
    let log = log.lock().unwrap().clone();
    check(&log, &process.data().join("ledger"));
}

/// Asks again and again, streamed and not, and notes what came.
async fn keep_asking(gateway: SocketAddr, user: u32, log: Log) {
    for number in 0_u32.. {
        let streamed = (number + user).is_multiple_of(2);
        let asked = match streamed {
            true => timeout(PATIENCE, ask(gateway, "one two three")).await,
            false => timeout(PATIENCE, ask_whole(gateway, "one two three")).await,
        };
        let Ok(Ok(mut reply)) = asked else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        // Refused, such as before it knows its miners.
        if reply.status() != 200 {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        let id = reply.request_id().unwrap().to_owned();
        log.lock().unwrap().insert(id.clone(), Seen::Begun);
        if let Ok(Some(said)) = timeout(PATIENCE, said(&mut reply, streamed)).await {
            log.lock().unwrap().insert(id, Seen::Whole(said));
        }
    }
}

/// The bytes of text of a reply that came whole.
async fn said(reply: &mut Reply, streamed: bool) -> Option<usize> {
    let of = |json: &str, place: &str| {
        let reply: Value = serde_json::from_str(json).ok()?;
        Some(reply.pointer(place).and_then(Value::as_str).map_or(0, str::len))
    };
    if !streamed {
        return of(&reply.text().await, "/choices/0/message/content");
    }
    if reply.ending().await != Ending::Complete {
        return None;
    }
    let text = reply.text().await;
    let events = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "));
    let lengths = events.filter_map(|json| of(json, "/choices/0/delta/content"));
    Some(lengths.sum())
}

/// Each request that began has its row, each that was received whole has been closed as complete, and what its row counts
/// and charges is what its user read.
fn check(log: &BTreeMap<String, Seen>, ledger: &Path) {
    let mut by_request: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    rows(ledger, &Query::default(), |row| {
        by_request.entry(row.request.to_string()).or_default().push(row);
        true
    })
    .unwrap();
    let whole_rows: Vec<&Row> = by_request
        .values()
        .flatten()
        .filter(|row| row.outcome == Some(Outcome::Complete))
        .collect();
    let usual = whole_rows.first().expect("some requests were answered whole");
    let [input, output] = PRICES;
    let (mut whole, mut cut) = (0, 0);
    for (id, seen) in log {
        let rows = by_request
            .get(id)
            .unwrap_or_else(|| panic!("{id} began, and has no row"));
        assert_eq!(rows.len(), 1, "{id} has one row: {rows:#?}");
        let row = &rows[0];
        match seen {
            Seen::Whole(said) => {
                whole += 1;
                assert_eq!(
                    row.outcome,
                    Some(Outcome::Complete),
                    "{id} was received whole: {row:#?}"
                );
                assert_eq!(row.prompt_tokens, usual.prompt_tokens, "each asks the same");
                // There is no tokenizer of this model, and four bytes are a token.
                let read = said.div_ceil(4) as u64;
                assert_eq!(row.completion_tokens, read, "{id} was told {said} bytes");
                let charge = row.prompt_tokens * input + read * output;
                assert_eq!(row.charge.0, charge, "{id}: {row:#?}");
            }
            Seen::Begun => {
                cut += 1;
                assert!(row.outcome.is_some(), "{id} was cut off, and is closed: {row:#?}");
            }
        }
    }
    let interrupted = by_request
        .values()
        .flatten()
        .filter(|row| row.outcome == Some(Outcome::Interrupted))
        .inspect(|row| assert_eq!(row.charge.0, 0, "what was interrupted costs nothing"))
        .count();
    println!(
        "{whole} replies received whole, {cut} cut off, {} rows, {} closed as complete, {interrupted} as interrupted",
        by_request.len(),
        whole_rows.len()
    );
    assert!(whole >= 20, "there was load: {whole}");
}
