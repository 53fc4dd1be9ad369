//! What an engine writes.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    sync::Mutex as AsyncMutex,
};

/// What is kept in memory: so many lines, and so many bytes.
const LINES: usize = 200;
const BYTES: usize = 64 * 1024;
/// What is kept of a line, in bytes.
const LINE: usize = 1024;

/// The last lines of an engine, and the file that has more of them.
#[derive(Debug, Clone)]
pub(super) struct Logs {
    ring: Arc<Mutex<Ring>>,
    file: Option<Arc<AsyncMutex<Rotated>>>,
    /// The paths of our own looks, whose lines in an access log are not kept.
    looks: Arc<[String]>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Logs {
    /// Keeps no line that says that one of these paths was asked for.
    pub(super) fn new(file: Option<(PathBuf, u64)>, looks: Vec<String>) -> Self {
        Self {
            looks: looks.into(),
            ring: Arc::default(),
            file: file.map(|(path, most)| Arc::new(AsyncMutex::new(Rotated::new(path, most)))),
        }
    }

    /// Another run of the engine begins: its last lines are its own.
    pub(super) fn begin(&self) {
        *self.ring() = Ring::default();
    }

    /// The last lines, oldest first, `most` at most.
    pub(super) fn last(&self, most: usize) -> Vec<String> {
        let ring = self.ring();
        let skipped = ring.lines.len().saturating_sub(most);
        ring.lines.iter().skip(skipped).cloned().collect()
    }

    /// The last line that has this text.
    pub(super) fn find(&self, text: &str) -> Option<String> {
        self.ring()
            .lines
            .iter()
            .rev()
            .find(|line| line.contains(text))
            .cloned()
    }

    /// The last lines, `most` at most, but for those that `skipped` names.
    pub(super) fn last_but(&self, most: usize, skipped: impl Fn(&str) -> bool) -> Vec<String> {
        let ring = self.ring();
        let mut kept: Vec<String> = ring
            .lines
            .iter()
            .rev()
            .filter(|line| !skipped(line))
            .take(most)
            .cloned()
            .collect();
        kept.reverse();
        kept
    }

    /// Reads whatever `source` says, until it ends.
    pub(super) async fn follow(self, source: impl AsyncRead + Unpin) {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while let Ok(true) = next_line(&mut source, &mut line).await {
            let text = plain(&line);
            if self.is_look(&text) {
                continue;
            }
            if let Some(file) = &self.file {
                file.lock().await.write(&line).await;
            }
            self.ring().push(text);
        }
    }

    /// Whether an access log says `GET PATH` there, in whichever quotes.
    fn is_look(&self, line: &str) -> bool {
        let around = [' ', '"', '\''];
        let asked = line
            .split_once("GET")
            .map(|(_, rest)| rest.trim_start_matches(around));
        let after = |path: &String| asked.and_then(|asked| asked.strip_prefix(path.as_str()));
        self.looks
            .iter()
            .filter_map(after)
            .any(|after| after.is_empty() || after.starts_with(around))
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, line: String) {
        if line.is_empty() {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }
}

/// Reads a line without its end into `line`, of which no more than a kilobyte is kept; `false` at the end.
async fn next_line(source: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let read = source.fill_buf().await?;
        if read.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        line.extend_from_slice(&part[..part.len().min(LINE - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        source.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The line as a terminal may show it: without colours and control characters.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // A colour ends with a letter.
                let _ = characters.by_ref().find(char::is_ascii_alphabetic);
            }
            '\t' => plain.push(' '),
            character if character.is_control() => {}
            character => plain.push(character),
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// A file that is begun anew when it is long enough.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    most: u64,
    open: Option<(File, u64)>,
    failed: bool,
}

impl Rotated {
    fn new(path: PathBuf, most: u64) -> Self {
        Self {
            path,
            most,
            open: None,
            failed: false,
        }
    }

    async fn write(&mut self, line: &[u8]) {
        let written = self.append(line).await;
        if let Err(error) = &written
            && !self.failed
        {
            tracing::warn!(path = %self.path.display(), %error, "what an engine writes is not kept");
        }
        self.failed = written.is_err();
        if self.failed {
            self.open = None;
        }
    }

    async fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, long)| *long >= self.most) {
            self.open = None;
            fs::rename(&self.path, aside(&self.path)).await?;
        }
        let (mut file, long) = match self.open.take() {
            Some(open) => open,
            None => {
                let mut options = OpenOptions::new();
                let file = options
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)
                    .await?;
                let long = file.metadata().await?.len();
                (file, long)
            }
        };
        let line = [line, b"\n"].concat();
        file.write_all(&line).await?;
        file.flush().await?;
        self.open = Some((file, long + line.len() as u64));
        Ok(())
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_cut() {
        let logs = Logs::new(None, vec!["/look".to_owned()]);
        let mut text = String::new();
        for number in 0..1000 {
            text += &format!("line {number}\n");
        }
        text += &"x".repeat(1 << 20);
        text += "\nGET /look/at/it\n\u{1b}[31mred\u{1b}[0m\r\n";
        // As Ollama, vLLM and llama-server have it.
        text += "[GIN] 2026/01/01 - 00:00:00 | 200 | 1ms | 127.0.0.1 | GET      \"/look\"\n";
        text += "INFO:     127.0.0.1:4242 - \"GET /look HTTP/1.1\" 200 OK\n";
        text += "srv  log_server_r: request: GET /look 127.0.0.1 200\nno end";
        logs.clone().follow(text.as_bytes()).await;
        let last = logs.last(5);
        assert_eq!(last[0], "line 999");
        assert_eq!(last[1].len(), LINE);
        assert_eq!(last[2..], ["GET /look/at/it", "red", "no end"]);
        assert_eq!(logs.last(usize::MAX).len(), LINES);
        logs.begin();
        assert!(logs.last(1).is_empty());
    }

    #[tokio::test]
    async fn the_file_is_begun_anew_when_it_is_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        let logs = Logs::new(Some((path.clone(), 1000)), Vec::new());
        let text: String = (0..100)
            .map(|number| format!("this is line {number:04}\n"))
            .collect();
        logs.follow(text.as_bytes()).await;
        let (now, before) = (
            fs::read(&path).await.unwrap(),
            fs::read(aside(&path)).await.unwrap(),
        );
        assert!(
            now.len() <= 1020 && before.len() <= 1020,
            "{} {}",
            now.len(),
            before.len()
        );
        assert!(String::from_utf8(now).unwrap().ends_with("line 0099\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
