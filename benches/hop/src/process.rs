//! The processes that are compared, and what a run of one takes.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::Fault;

/// A process of this program, and the port it listens on.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Process {
    pub(crate) async fn start(arguments: &[&str]) -> Result<Self, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line
                .strip_prefix("ready http")
                .and_then(|url| url.rsplit_once(':'))
            {
                let port = port.parse()?;
                return Ok(Self { child, port });
            }
        }
        Err(format!("{arguments:?} ended before it was ready").into())
    }

    /// CPU time that the process took so far, in its own code and in the kernel.
    pub(crate) fn cpu(&self) -> Result<Duration, Fault> {
        let pid = self.child.id().ok_or("the process ended")?;
        // A process's own schedstat counts its main thread only: add up every thread's.
        let mut nanoseconds = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += stat.split(' ').next().unwrap_or("0").parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}
