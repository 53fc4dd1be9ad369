//! What a node says of itself, in a file, and a look at it.

use std::{
    convert::Infallible,
    fs::{self, OpenOptions},
    io::{self, ErrorKind as Io, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use clap::Args;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use synapse_core::{
    Error, ErrorKind, NodeId, SystemClock, WallClock as _, Watch,
    config::{Configuration, Loader},
};
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    say::is_heard,
    table::{Look, Page, Span},
};

/// The file in a node's directory.
const FILE: &str = "status.json";
/// How often it is written while something changes, and looked at.
const OFTEN: Duration = Duration::from_secs(1);
/// How often it is written in any case, so that a node that is gone is told from one that is quiet.
const AT_LEAST: Duration = Duration::from_secs(5);
/// The age from which nobody writes it any more.
const STALE: Duration = Duration::from_secs(15);
/// The longest that is read.
const LONGEST: u64 = 64 << 20;

/// What a node's file `status.json` says, and since when.
pub trait Told: DeserializeOwned {
    /// When it was written, by the node's clock, in milliseconds since 1970.
    fn written_at_ms(&self) -> u64;

    /// Whether the node went on after that: no, where it ended in order.
    fn is_running(&self) -> bool;
}

/// A node's status, as [`StatusFile`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written<T> {
    /// When, by the node's clock, in milliseconds since 1970.
    pub written_at_ms: u64,
    /// By which process.
    pub process: u32,
    /// Whether the node went on after that: no, where it ended in order.
    pub running: bool,
    /// What it said.
    pub status: T,
}

/// The file `status.json` in a node's directory, as the node writes it.
#[derive(Debug, Clone)]
pub struct StatusFile {
    path: PathBuf,
    /// Whose turn it is: a write goes on though nobody waits for it any more, and the last word comes after it.
    turn: Arc<Mutex<()>>,
}

impl StatusFile {
    /// The one in this directory.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(FILE),
            turn: Arc::default(),
        }
    }

    /// Writes what changes, once a second, and every five seconds in any case, for as long as it is polled.
    pub async fn keep<T: Serialize + Send + Sync + 'static>(&self, status: Watch<T>) -> Infallible {
        let mut ticks = interval(OFTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<(Arc<T>, Instant)> = None;
        let mut failed = false;
        loop {
            ticks.tick().await;
            let now = status.current();
            if let Some((before, at)) = &last
                && Arc::ptr_eq(before, &now)
                && at.elapsed() < AT_LEAST
            {
                continue;
            }
            let written = self.write(now.clone(), true).await;
            // A full disk is said once, not each second.
            if let Err(error) = &written
                && !failed
            {
                eprintln!("the status is not written: {error}");
            }
            failed = written.is_err();
            last = Some((now, Instant::now()));
        }
    }

    /// Writes the last word of a node that ends in order.
    ///
    /// # Errors
    /// `status_unwritable`.
    pub async fn end<T: Serialize + Send + Sync + 'static>(&self, status: Arc<T>) -> Result<(), Error> {
        self.write(status, false).await
    }

    async fn write<T: Serialize + Send + Sync + 'static>(
        &self,
        status: Arc<T>,
        running: bool,
    ) -> Result<(), Error> {
        let path = self.path.clone();
        let turn = self.turn.clone().lock_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let written = Written {
                written_at_ms: now_ms(),
                process: std::process::id(),
                running,
                status: &*status,
            };
            let bytes = serde_json::to_vec(&written)?;
            replace(&path, &bytes)
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| {
            Error::new(
                ErrorKind::Forbidden,
                "status_unwritable",
                format!("{} could not be written", self.path.display()),
            )
            .with_source(error)
        })
    }
}

/// Whoever reads sees the old file or the new one. Neither outlives a power cut for sure, nor need it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("json.new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != Io::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&aside)?;
    file.write_all(bytes)?;
    fs::rename(&aside, path)
}

fn now_ms() -> u64 {
    let since = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<T: DeserializeOwned> Told for Written<T> {
    fn written_at_ms(&self) -> u64 {
        self.written_at_ms
    }

    fn is_running(&self) -> bool {
        self.running
    }
}

/// What the node in this directory last said.
///
/// # Errors
/// `no_status` where no node ever ran with this directory, `status_unreadable` where the file is not one of ours.
pub fn read<T: Told>(data_dir: &Path) -> Result<T, Error> {
    parsed(data_dir, &bytes(data_dir)?)
}

fn bytes(data_dir: &Path) -> Result<Vec<u8>, Error> {
    let path = data_dir.join(FILE);
    let mut bytes = Vec::new();
    let read = fs::File::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == Io::NotFound => Err(Error::new(
            ErrorKind::NotFound,
            "no_status",
            format!(
                "there is no status in {}: no node has run with this directory",
                data_dir.display()
            ),
        )
        .with_hint("name the directory that the node was started with: --data-dir DIR")),
        Err(error) => Err(unreadable(data_dir).with_source(error)),
    }
}

fn parsed<T: DeserializeOwned>(data_dir: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        unreadable(data_dir)
            .with_hint("look with the program of the node's own version")
            .with_source(error)
    })
}

fn unreadable(data_dir: &Path) -> Error {
    let path = data_dir.join(FILE);
    Error::invalid("status_unreadable", format!("{} cannot be read", path.display()))
}

/// Which node a question is about.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// The node's directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file with the node's configuration, which names its directory.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "data_dir",
        env = "SYNAPSE_CONFIG"
    )]
    config: Option<PathBuf>,
}

impl NodeArgs {
    /// The node's directory: `of` its configuration, where none is named.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn data_dir<T: Configuration>(&self, of: impl FnOnce(T) -> PathBuf) -> Result<PathBuf, Error> {
        if let Some(directory) = &self.data_dir {
            return Ok(directory.clone());
        }
        if let Some(file) = &self.config {
            let variables = std::env::vars_os().filter(|(name, _)| name != "SYNAPSE_CONFIG");
            let loader = Loader::<T>::new().environment(variables).file(file);
            return Ok(of(loader.load()?.into_value()));
        }
        let variable = std::env::var_os("SYNAPSE_DATA_DIR").map(PathBuf::from);
        Ok(variable.unwrap_or_else(|| of(T::default())))
    }
}

/// How a status is shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct StatusArgs {
    /// What the node wrote, as JSON.
    #[arg(long)]
    json: bool,
    /// Go on, each second; so it does on a terminal.
    #[arg(long)]
    watch: bool,
    /// Once, on a terminal too.
    #[arg(long, conflicts_with = "watch")]
    once: bool,
}

impl StatusArgs {
    /// Shows the status of the node in `data_dir`, which is a `name`, as `page` lays it out.
    ///
    /// # Errors
    /// As [`read`].
    pub async fn show<T: Told>(
        self,
        name: &str,
        data_dir: &Path,
        page: impl Fn(&T, &mut Page),
    ) -> Result<(), Error> {
        let terminal = io::stdout().is_terminal();
        let again = self.watch || (terminal && !self.once && !self.json);
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut before = Vec::new();
        loop {
            let bytes = bytes(data_dir)?;
            let out = if self.json {
                parsed::<serde_json::Value>(data_dir, &bytes)?;
                match bytes == before {
                    true => String::new(),
                    false => format!("{}\n", String::from_utf8_lossy(&bytes).trim_end()),
                }
            } else {
                let told: T = parsed(data_dir, &bytes)?;
                let mut shown = Page::new();
                describe(name, &told, &mut shown);
                page(&told, &mut shown);
                let size = if terminal { size() } else { None };
                let text = shown.render(colours, size.map(|(columns, _)| columns));
                match terminal && again {
                    true => redrawn(&text, size.map(|(_, rows)| rows), before.is_empty()),
                    false => text,
                }
            };
            if !is_heard(&out)? || !again {
                return Ok(());
            }
            before = bytes;
            sleep(OFTEN).await;
        }
    }
}

/// Whether the node still runs, as far as the file says.
fn describe(name: &str, told: &impl Told, page: &mut Page) {
    let old = age(told);
    let since = shown(old);
    let state = match told.is_running() {
        false => Span::new(format!("the {name} ended, {since} ago")).look(Look::Odd),
        true if old > STALE => Span::new(format!(
            "STALE: the {name} wrote this {since} ago, and nothing since; it is gone, or stands still"
        ))
        .look(Look::Bad),
        true => Span::new(format!("the {name} runs")).look(Look::Good),
    };
    page.line([state]);
}

/// How old it is by this machine's clock; nothing where it is from the future.
fn age(told: &impl Told) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(told.written_at_ms()))
}

/// How long ago that was, by this machine's clock.
#[must_use]
pub fn ago(at_ms: u64) -> String {
    format!(
        "{} ago",
        shown(Duration::from_millis(now_ms().saturating_sub(at_ms)))
    )
}

/// A length of time, as short as can be read.
#[must_use]
pub fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Enough of an address to know it again.
#[must_use]
pub fn short(node: &NodeId) -> String {
    let letters: Vec<char> = node.as_str().chars().collect();
    match letters.len() {
        0..=16 => letters.into_iter().collect(),
        long => letters[..6]
            .iter()
            .chain(&['…'])
            .chain(&letters[long - 6..])
            .collect(),
    }
}

/// From the top, over what was there: cleared first, it would flicker. What has no room is left out, or it would scroll.
fn redrawn(text: &str, rows: Option<usize>, is_first: bool) -> String {
    let clear = if is_first { "\x1b[2J" } else { "" };
    let room = rows.map_or(usize::MAX, |rows| rows.saturating_sub(1));
    let lines: String = text
        .lines()
        .take(room)
        .map(|line| format!("{line}\x1b[K\n"))
        .collect();
    format!("{clear}\x1b[H{lines}\x1b[J")
}

/// Columns and rows of the terminal.
#[cfg(unix)]
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

#[cfg(not(unix))]
fn size() -> Option<(usize, usize)> {
    None
}
