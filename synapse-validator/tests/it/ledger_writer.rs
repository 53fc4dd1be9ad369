//! A process that writes to its ledger until its power is cut, and says of each row what it is.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    mem,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use synapse_core::Micros;
use synapse_validator::ledger::{Ledger, Position, Sync, TopUp};
use tokio::runtime::{Builder, Runtime};

use crate::{
    disk_image::Image,
    ledger::{MARCH, closing, opening, small},
};

/// Where the process has its ledger: says that this process is that one.
const PLACE: &str = "SYNAPSE_TEST_POWER_CUT";
const IS_ALWAYS: &str = "SYNAPSE_TEST_POWER_CUT_ALWAYS";
/// Its writes get nowhere.
#[cfg(feature = "failpoints")]
const LOSES_WRITES: &str = "SYNAPSE_TEST_LOSES_WRITES";
const THREADS: u64 = 4;
pub(crate) const WINDOW: Duration = Duration::from_millis(20);

/// How the process is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) sync: Sync,
    /// Without `fsync` and its kin.
    pub(crate) eats_syncs: bool,
    /// Without writes of rows.
    #[cfg(feature = "failpoints")]
    pub(crate) loses_writes: bool,
}

/// When the ledger acknowledged something, and when it said that it is stored, if it did so before the cut: in nanoseconds
/// since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledged {
    pub(crate) at: u64,
    pub(crate) stored: Option<u64>,
}

/// What the process said: which requests began and which ended, and what was paid in.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) begun: BTreeMap<String, Acknowledged>,
    pub(crate) ended: BTreeMap<String, Acknowledged>,
    pub(crate) paid: u64,
    pub(crate) paid_and_stored: u64,
    /// When the power was cut, in nanoseconds since 1970.
    pub(crate) cut: u64,
    /// It was cut within 30 ms of the process' start: as a rule while the ledger was opened.
    pub(crate) was_starting: bool,
}

impl Writer {
    pub(crate) fn new(sync: Sync) -> Self {
        Self {
            sync,
            eats_syncs: false,
            #[cfg(feature = "failpoints")]
            loses_writes: false,
        }
    }

    /// Runs it on this file system until the power is cut at a moment that `random` chooses. `test` is the one that calls
    /// [`write_if_asked`].
    pub(crate) fn run(&self, image: &Image, place: &Path, test: &str, random: u64) -> Said {
        let switch = image.switch(random >> 32);
        let mut child = Killed(self.command(place, test).spawn().unwrap());
        let mut out = BufReader::new(child.0.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut line = String::new();
            // A line that was cut off is not one that was said.
            while out.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                let _ = send.send(mem::take(&mut line));
            }
        });
        let mut said = Said::default();
        // Some are cut while the ledger is opened: the one before left it as a cut leaves it.
        let moment = if random.is_multiple_of(4) {
            said.was_starting = true;
            random / 4 % 30_000
        } else {
            while lines.recv_timeout(Duration::from_secs(60)).unwrap() != "ready\n" {}
            // Some work for longer than anything may wait for the disk.
            let most = if random.is_multiple_of(5) {
                2_000_000
            } else {
                300_000
            };
            random / 4 % most
        };
        thread::sleep(Duration::from_micros(moment));
        said.cut = switch.cut();
        child.0.kill().unwrap();
        reader.join().unwrap();
        lines.iter().for_each(|line| said.note(&line));
        said
    }

    fn command(&self, place: &Path, test: &str) -> Command {
        let this = env::current_exe().unwrap();
        let mut command = if self.eats_syncs {
            let mut command = Command::new("eatmydata");
            command.arg(this);
            command
        } else {
            Command::new(this)
        };
        command
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(PLACE, place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if self.sync == Sync::Always {
            command.env(IS_ALWAYS, "1");
        }
        #[cfg(feature = "failpoints")]
        if self.loses_writes {
            command.env(LOSES_WRITES, "1");
        }
        command
    }
}

impl Said {
    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let time = words
            .last()
            .and_then(|time| time.parse().ok())
            .unwrap_or_default();
        // What it heard of the disk after the cut nobody else could have heard: its machine was without power.
        let is_before = time < self.cut;
        match *words {
            ["begun", request, _] => self.begun.entry(request.to_owned()).or_default().at = time,
            ["ended", request, _] => self.ended.entry(request.to_owned()).or_default().at = time,
            ["begun-stored", request, _] if is_before => {
                self.begun.entry(request.to_owned()).or_default().stored = Some(time);
            }
            ["ended-stored", request, _] if is_before => {
                self.ended.entry(request.to_owned()).or_default().stored = Some(time);
            }
            ["paid"] => self.paid += 1,
            ["paid-stored", _] if is_before => self.paid_and_stored += 1,
            _ => {}
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes until it is killed, where this process is the one that does.
pub(crate) fn write_if_asked() {
    let Some(place) = env::var_os(PLACE) else {
        return;
    };
    let is_always = env::var_os(IS_ALWAYS).is_some();
    let sync = if is_always {
        Sync::Always
    } else {
        Sync::Every(WINDOW)
    };
    let ledger = Ledger::open(&place, small().sync(sync)).unwrap();
    #[cfg(feature = "failpoints")]
    if env::var_os(LOSES_WRITES).is_some() {
        use synapse_validator::ledger::{Fault, set_fault};
        set_fault(&place, Fault::LosesWrites);
    }
    // The harness has begun a line.
    say(format_args!("\nready"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = ledger.clone();
            scope.spawn(move || work(&ledger, thread, is_always));
        }
    });
    // The disk is gone.
    loop {
        thread::park();
    }
}

/// Works until the disk is gone; with [`Sync::Always`] as a gateway does, which waits for it at both ends of a request.
fn work(ledger: &Ledger, thread: u64, is_always: bool) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let start = now();
    let mut open = Vec::new();
    for count in 0_u64.. {
        let mut of_count = opening("alice", MARCH + count);
        let request = format!("{start}-{thread}-{count}");
        of_count.request = request.as_str().into();
        let Ok((entry, position)) = ledger.begin(&of_count) else {
            return;
        };
        say(format_args!("begun {request} {}", now()));
        let waits = is_always || count % 32 == 31;
        if waits && !is_stored(&runtime, ledger, position, &format!("begun-stored {request}")) {
            return;
        }
        open.push((entry, request));
        // Some are open for a while, and end in another order.
        if count % 3 == 2 {
            for (entry, request) in open.drain(..).rev() {
                let charge = charge_of(&request);
                let Ok(position) = ledger.end(&closing(entry, MARCH + count, charge.0)) else {
                    return;
                };
                say(format_args!("ended {request} {}", now()));
                if waits && !is_stored(&runtime, ledger, position, &format!("ended-stored {request}")) {
                    return;
                }
            }
        }
        if thread == 0 && count % 16 == 15 {
            let name = format!("{start}-{count}");
            let top_up = TopUp::new(name.as_str().into(), MARCH, "alice", Micros(1));
            let Ok(position) = ledger.top_up(&top_up) else {
                return;
            };
            say(format_args!("paid"));
            if waits && !is_stored(&runtime, ledger, position, "paid-stored") {
                return;
            }
        }
    }
}

/// Waits until the disk has it, and says so.
fn is_stored(runtime: &Runtime, ledger: &Ledger, position: Position, what: &str) -> bool {
    let is_stored = runtime.block_on(ledger.durable(position)).is_ok();
    if is_stored {
        say(format_args!("{what} {}", now()));
    }
    is_stored
}

/// What a request costs: its number.
pub(crate) fn charge_of(request: &str) -> Micros {
    let (_, count) = request.rsplit_once('-').unwrap();
    Micros(count.parse::<u64>().unwrap() % 1000)
}

/// A line of its own, whoever else speaks.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
