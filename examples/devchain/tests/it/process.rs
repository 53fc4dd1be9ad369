//! A devchain's process.

use std::{path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a devchain may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A devchain that runs, and ends with this value.
#[derive(Debug)]
pub(crate) struct Devchain {
    child: Child,
    pub(crate) url: String,
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) listen: String,
    pub(crate) flags: Vec<String>,
    /// Which fault it is started with, where it is built with any.
    pub(crate) fault: Option<&'static str>,
}

impl Plan {
    pub(crate) fn new(data: &Path, flags: impl IntoIterator<Item = String>) -> Self {
        let data = format!("--data-dir={}", data.display());
        Self {
            listen: "127.0.0.1:0".to_owned(),
            flags: [data].into_iter().chain(flags).collect(),
            fault: None,
        }
    }

    fn command(&self) -> Command {
        let mut command = devchain();
        command
            .arg("run")
            .arg("--listen")
            .arg(&self.listen)
            .args(&self.flags);
        if let Some(fault) = self.fault {
            command.env("SYNAPSE_CHAIN_FAULT", fault);
        }
        command
    }

    /// Starts it, and waits until it is ready. A later start listens where this one did.
    pub(crate) async fn start(&mut self) -> Devchain {
        let mut child = self.command().stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .expect("it is ready in time");
        let line = line.unwrap().expect("it does not end before it is ready");
        let url = line.strip_prefix("ready ").expect("the first line").to_owned();
        self.listen = url.split_once("://").unwrap().1.to_owned();
        Devchain { child, url }
    }

    /// Starts it where it cannot start, and returns what it says.
    pub(crate) async fn fails(&self) -> String {
        let mut child = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let status = timeout(PATIENCE, child.wait())
            .await
            .expect("it ends in time")
            .unwrap();
        assert!(!status.success());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .await
            .unwrap();
        said
    }
}

impl Devchain {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; whether that was a good one.
    pub(crate) async fn ended(mut self) -> bool {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends in time");
        status.unwrap().success()
    }
}

/// Whether a chain's state is what its blocks make of it; `Err` with what the program says where it is not.
pub(crate) async fn verify(data: &Path) -> Result<String, String> {
    let output = devchain()
        .arg("verify")
        .arg("--data-dir")
        .arg(data)
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

pub(crate) fn devchain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devchain"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}
