//! A node as a process.

use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::program;

/// How long a node may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// How a node is started: a program, its arguments, and a data directory of its own that goes when this does.
#[derive(Debug)]
pub struct Process {
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: TempDir,
}

impl Process {
    /// Of a program of `examples/`.
    ///
    /// # Panics
    /// Where there can be no temporary directory.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            data: tempfile::Builder::new()
                .prefix(program)
                .tempdir()
                .expect("a temporary directory"),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl fmt::Display) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// The same with one more variable in its environment, which what it starts has too.
    #[must_use]
    pub fn env(mut self, name: impl fmt::Display, value: impl fmt::Display) -> Self {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// The same with `--data-dir` and its own directory.
    #[must_use]
    pub fn with_data_dir(self) -> Self {
        let data = self.data.path().display().to_string();
        self.arg("--data-dir").arg(data)
    }

    /// Its own directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Starts it, and waits until it is ready. It can be started again once the node is gone.
    ///
    /// # Panics
    /// Where it ends before, or is not ready within a minute; with what it wrote to standard error.
    pub async fn start(&self) -> Node {
        let mut node = self.spawn();
        node.ready().await;
        node
    }

    /// Kills a node that was started so, and starts it again.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn restart(&self, node: Node) -> Node {
        node.kill().await;
        self.start().await
    }

    /// The address that its `--listen` names.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn listens(&self) -> SocketAddr {
        let named = |argument: &String| argument.strip_prefix("--listen=")?.parse().ok();
        self.arguments
            .iter()
            .find_map(named)
            .expect("it was told where to listen")
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn spawn(&self) -> Node {
        let mut child = Command::new(program(self.program))
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.program));
        let said = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Node {
            program: self.program,
            listening: tokio::spawn(listen(stderr, said.clone())),
            stdout: stdout.lines(),
            child,
            said,
            url: None,
        }
    }
}

async fn listen(stderr: impl AsyncBufRead + Unpin, said: Arc<Mutex<String>>) -> io::Result<()> {
    let mut lines = stderr.lines();
    while let Some(line) = lines.next_line().await? {
        let mut said = said.lock().expect("no test panics while it holds this");
        said.push_str(&line);
        said.push('\n');
    }
    Ok(())
}

/// A node that runs. Killed when it is dropped.
pub struct Node {
    program: &'static str,
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    said: Arc<Mutex<String>>,
    listening: JoinHandle<io::Result<()>>,
    url: Option<String>,
}

impl Node {
    /// Waits for its line `ready <url>`.
    ///
    /// # Panics
    /// Where it ends before, or does not say so within a minute; with what it wrote to standard error.
    pub async fn ready(&mut self) {
        let told = timeout(START, async {
            while let Ok(Some(line)) = self.stdout.next_line().await {
                if let Some(url) = line.strip_prefix("ready ") {
                    return Some(url.to_owned());
                }
            }
            None
        })
        .await;
        match told {
            Ok(Some(url)) => self.url = Some(url),
            Ok(None) => {
                let _ = (&mut self.listening).await;
                panic!("{} ended before it was ready:\n{}", self.program, self.stderr());
            }
            Err(_) => panic!(
                "{} is not ready after {START:?}:\n{}",
                self.program,
                self.stderr()
            ),
        }
    }

    /// What it said with `ready`.
    ///
    /// # Panics
    /// Where nobody waited until it was ready.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_deref().expect("a node that is ready has a URL")
    }

    /// Its address.
    ///
    /// # Panics
    /// Where its URL has none.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let (_, address) = self.url().split_once("://").expect("a URL has a scheme");
        address
            .trim_end_matches('/')
            .parse()
            .expect("it says the address that it listens on")
    }

    /// What it wrote to standard error so far.
    ///
    /// # Panics
    /// Where a test panicked before.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.said
            .lock()
            .expect("no test panics while it holds this")
            .clone()
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it was seen to end already.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the node runs")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it was seen to end already.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("it is our child, and nobody waited for it");
    }

    /// Waits until it ended; `None` where it goes on for longer than `limit`.
    ///
    /// # Panics
    /// Where the system cannot say.
    pub async fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await.ok()?;
        let _ = timeout(limit, &mut self.listening).await;
        Some(ended.expect("a child can be waited for"))
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("program", &self.program)
            .field("pid", &self.child.id())
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
