//! A process that writes to its ledger under load and is killed again and again.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use synapse_core::Micros;
use synapse_validator::ledger::{EntryId, Ledger, Outcome, Query, Row, TopUp, rows};
use tempfile::tempdir;

use crate::ledger::{MARCH, closing, open, opening, small};

/// Where the process that is killed has its ledger: says that this process is that one.
const PLACE: &str = "SYNAPSE_TEST_LEDGER";
/// What is wrong with its disk.
#[cfg(feature = "failpoints")]
const LOSES_WRITES: &str = "SYNAPSE_TEST_LOSES_WRITES";
const THREADS: u64 = 4;
/// Kills of one ledger.
const ROUND: u64 = 30;

/// What the process said before it was killed.
#[derive(Default)]
struct Said {
    begun: BTreeMap<u64, String>,
    ended: BTreeMap<u64, u64>,
    /// Payments that it was about to enter, and those that were entered.
    paying: u64,
    paid: u64,
}

#[test]
fn nothing_that_was_written_is_lost_or_charged_twice_when_the_process_is_killed() {
    if let Some(place) = env::var_os(PLACE) {
        write(Path::new(&place));
    }
    let kills = number("SYNAPSE_KILLS").unwrap_or(30);
    let faults = survive(
        kills,
        "nothing_that_was_written_is_lost_or_charged_twice_when_the_process_is_killed",
        &[],
    );
    assert!(faults.is_empty(), "{faults:#?}");
}

#[cfg(feature = "failpoints")]
#[test]
fn rows_that_are_not_written_are_noticed_here() {
    if let Some(place) = env::var_os(PLACE) {
        write(Path::new(&place));
    }
    let faults = survive(
        3,
        "rows_that_are_not_written_are_noticed_here",
        &[(LOSES_WRITES, "1")],
    );
    assert!(!faults.is_empty());
}

/// Kills a process so many times at random moments, and says what should not be.
fn survive(kills: u64, test: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let seed = number("SYNAPSE_SEED").unwrap_or_else(now);
    println!("SYNAPSE_SEED={seed} SYNAPSE_KILLS={kills} repeat the moments");
    let mut random = seed | 1;
    let mut folder = tempdir().unwrap();
    let mut said = Said::default();
    let (mut begun, mut ended) = (0, 0);
    let mut faults = Vec::new();
    for kill in 0..kills {
        // All rows are read after each kill: not more and more of them.
        if kill % ROUND == 0 {
            folder = tempdir().unwrap();
            said = Said::default();
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        run(
            folder.path(),
            test,
            variables,
            Duration::from_micros(random % 150_000),
            &mut said,
        );
        let ledger = match Ledger::open(folder.path(), small()) {
            Ok(ledger) => ledger,
            Err(error) => {
                faults.push(format!("kill {kill}: {error}"));
                return faults;
            }
        };
        let balance = ledger.account(&"alice".into());
        drop(ledger);
        check(
            folder.path(),
            &said,
            balance.map(|account| (account.paid_in, account.charged)),
            &mut faults,
        );
        if !faults.is_empty() {
            faults.insert(0, format!("after kill {kill}"));
            return faults;
        }
        if kill % ROUND == ROUND - 1 || kill + 1 == kills {
            begun += said.begun.len();
            ended += said.ended.len() as u64;
        }
    }
    println!("{begun} requests were acknowledged, {ended} of them as closed");
    assert!(ended > kills, "the process worked");
    faults
}

/// Everything that was said is in the ledger, once, and the sums agree.
fn check(directory: &Path, said: &Said, account: Option<(Micros, Micros)>, faults: &mut Vec<String>) {
    let mut found = BTreeMap::<u64, Row>::new();
    let mut charged = 0;
    let read = rows(directory, &Query::default(), |row| {
        charged += row.charge.0;
        if found.insert(row.entry.0, row.clone()).is_some() {
            faults.push(format!("two rows of {}", row.entry.0));
        }
        true
    });
    if let Err(error) = read {
        faults.push(error.to_string());
    }
    for (entry, request) in &said.begun {
        match found.get(entry) {
            None => faults.push(format!("{request} has no row at {entry}")),
            Some(row) if row.request.as_str() != request => faults.push(format!("{request} is {row:?}")),
            Some(row) if row.outcome.is_none() => faults.push(format!("{request} is open")),
            Some(row) => match (said.ended.get(entry), &row.outcome) {
                (Some(charge), Some(Outcome::Complete)) if row.charge.0 == *charge => {}
                (Some(_), _) => faults.push(format!("{request} was closed, and is {row:?}")),
                // It may have been closed without our having heard of it.
                (None, Some(Outcome::Complete)) => {}
                (None, _) if row.charge == Micros::ZERO => {}
                (None, _) => faults.push(format!("{request} was charged for nothing: {row:?}")),
            },
        }
    }
    let Some((paid_in, of_account)) = account else {
        if said.paid > 0 {
            faults.push("the account is gone".to_owned());
        }
        return;
    };
    if of_account.0 != charged {
        faults.push(format!(
            "the rows cost {charged}, and the account says {of_account}"
        ));
    }
    // At each kill one may have been paid in without our having heard of it.
    if !(said.paid..=said.paying).contains(&paid_in.0) {
        faults.push(format!(
            "{} was paid in, {} at most, and the account says {paid_in}",
            said.paid, said.paying
        ));
    }
}

/// Runs the process until it worked for so long, and notes what it says.
fn run(directory: &Path, test: &str, variables: &[(&str, &str)], work: Duration, said: &mut Said) {
    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut child = Killed(
        Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("ledger_kills::{test}"),
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PLACE, directory)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let out = child.0.stdout.take().unwrap();
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = String::new();
        // A line that was cut off is not one that was said.
        while out
            .read_line(&mut line)
            .is_ok_and(|read| read > 0 && line.ends_with('\n'))
        {
            let _ = send.send(std::mem::take(&mut line));
        }
    });
    let mut is_killed = false;
    loop {
        let line = match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(error) => panic!("the process says nothing: {error}"),
        };
        let words: Vec<_> = line.split_whitespace().collect();
        match *words {
            ["ready"] => {
                thread::sleep(work);
                child.0.kill().unwrap();
                is_killed = true;
            }
            ["begun", entry, request] => {
                said.begun.insert(entry.parse().unwrap(), request.to_owned());
            }
            ["ended", entry, charge] => {
                said.ended.insert(entry.parse().unwrap(), charge.parse().unwrap());
            }
            ["paying"] => said.paying += 1,
            ["paid"] => said.paid += 1,
            _ => {}
        }
    }
    assert!(is_killed, "the process ended by itself");
    reader.join().unwrap();
}

/// What the process does that is killed: says of each row what it is once the ledger has it.
fn write(directory: &Path) -> ! {
    let ledger = open(directory);
    #[cfg(feature = "failpoints")]
    if env::var_os(LOSES_WRITES).is_some() {
        synapse_validator::ledger::set_fault(directory, synapse_validator::ledger::Fault::LosesWrites);
    }
    // The harness has begun a line.
    say(format_args!("\nready"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = ledger.clone();
            scope.spawn(move || work(&ledger, thread));
        }
    });
    unreachable!("it works until it is killed")
}

fn work(ledger: &Ledger, thread: u64) {
    let start = now();
    let mut open: Vec<(EntryId, u64)> = Vec::new();
    for count in 0_u64.. {
        let mut of_count = opening("alice", MARCH + count);
        of_count.request = format!("{start}-{thread}-{count}").into();
        let (entry, _) = ledger.begin(&of_count).unwrap();
        say(format_args!("begun {} {}", entry.0, of_count.request));
        open.push((entry, count % 1000));
        // Some are open for a while, and end in another order.
        if count % 3 == 2 {
            for (entry, charge) in open.drain(..).rev() {
                ledger.end(&closing(entry, MARCH + count, charge)).unwrap();
                say(format_args!("ended {} {charge}", entry.0));
            }
        }
        if thread == 0 && count % 16 == 0 {
            let name = format!("{start}-{count}");
            say(format_args!("paying"));
            ledger
                .top_up(&TopUp::new(name.as_str().into(), MARCH, "alice", Micros(1)))
                .unwrap();
            say(format_args!("paid"));
        }
    }
}

/// A line of its own, whoever else speaks.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
