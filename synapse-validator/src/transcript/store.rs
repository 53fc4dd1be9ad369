//! Files of transcripts, a day each.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use synapse_core::{Date, Error};

use super::{Settings, Transcript};

/// Transcripts that may wait for the disk.
const WAITING: usize = 256;

/// How often old files are looked for.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Hands transcripts to a thread that writes them.
#[derive(Debug)]
pub(super) struct Store {
    /// Gone once it is finished.
    waiting: Mutex<Option<SyncSender<Transcript>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    kept: AtomicU64,
    dropped: AtomicU64,
}

impl Store {
    pub(super) fn open(directory: PathBuf, settings: &Settings) -> Result<Self, Error> {
        let keep = period(settings);
        let unwritable = |error| unwritable(&directory, &error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(unwritable)?;
        forget(&directory, keep).map_err(unwritable)?;
        let (send, receive) = sync_channel(WAITING);
        let counts = Arc::new(Counts::default());
        let mut files = Files {
            directory,
            keep,
            bytes_a_day: settings.bytes_a_day,
            redacted: settings.redacted,
            open: None,
            counts: counts.clone(),
        };
        let writer = thread::Builder::new()
            .name("transcripts".into())
            .spawn(move || files.write_all(&receive))
            .map_err(|error| {
                Error::internal(
                    "transcripts_unwritable",
                    "no thread could be started for transcripts",
                )
                .with_source(error)
            })?;
        Ok(Self {
            waiting: Mutex::new(Some(send)),
            writer: Mutex::new(Some(writer)),
            counts,
        })
    }

    pub(super) fn kept(&self) -> u64 {
        self.counts.kept.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Never waits.
    pub(super) fn keep(&self, transcript: Transcript) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting
            .as_ref()
            .is_some_and(|waiting| waiting.try_send(transcript).is_ok());
        if !taken {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was taken is written. What comes later is left out.
    pub(super) fn finish(&self) {
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that writes transcripts panicked");
        }
    }
}

struct Files {
    directory: PathBuf,
    keep: Duration,
    bytes_a_day: u64,
    redacted: bool,
    open: Option<Day>,
    counts: Arc<Counts>,
}

/// The file of a day, and how long it is.
struct Day {
    day: Date,
    file: File,
    bytes: u64,
}

impl Files {
    fn write_all(&mut self, waiting: &Receiver<Transcript>) {
        loop {
            let mut transcript = match waiting.recv_timeout(LOOK_EVERY) {
                Ok(transcript) => transcript,
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = forget(&self.directory, self.keep) {
                        tracing::warn!(%error, directory = %self.directory.display(), "old transcripts stay");
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.redacted {
                transcript.redact();
            }
            let count = match self.write(&transcript) {
                Ok(true) => &self.counts.kept,
                Ok(false) => &self.counts.dropped,
                Err(error) => {
                    tracing::warn!(%error, directory = %self.directory.display(), "a transcript is left out");
                    &self.counts.dropped
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there was room.
    fn write(&mut self, transcript: &Transcript) -> io::Result<bool> {
        let today = Date::of_unix_seconds(transcript.at);
        let mut line = serde_json::to_vec(transcript)?;
        line.push(b'\n');
        let day = match self.open.take() {
            Some(open) if open.day == today => open,
            _ => {
                forget(&self.directory, self.keep)?;
                let path = self.directory.join(format!("{today}.jsonl"));
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(path)?;
                let bytes = file.metadata()?.len();
                Day {
                    day: today,
                    file,
                    bytes,
                }
            }
        };
        let day = self.open.insert(day);
        let bytes = line.len() as u64;
        if day.bytes.saturating_add(bytes) > self.bytes_a_day {
            return Ok(false);
        }
        day.file.write_all(&line)?;
        day.bytes += bytes;
        Ok(true)
    }
}

/// Deletes what is too old, where transcripts were kept before and are not any more.
#[cfg(feature = "config")]
pub(super) fn forget_old(directory: &Path, settings: &Settings) -> Result<(), Error> {
    match forget(directory, period(settings)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(directory, &error)),
        _ => Ok(()),
    }
}

fn period(settings: &Settings) -> Duration {
    Duration::from_hours(24) * settings.days.max(1)
}

fn unwritable(directory: &Path, error: &io::Error) -> Error {
    Error::unavailable(
        "transcripts_unwritable",
        format!("transcripts cannot be kept in {}: {error}", directory.display()),
    )
    .with_hint("make the directory writable for this program, or switch transcripts off")
}

/// Deletes the files of days that are over for longer than `keep`.
fn forget(directory: &Path, keep: Duration) -> io::Result<()> {
    let Some(oldest) = SystemTime::now().checked_sub(keep) else {
        return Ok(());
    };
    let oldest = Date::of(oldest);
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let day = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jsonl")?.parse::<Date>().ok());
        if day.is_some_and(|day| day < oldest) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
