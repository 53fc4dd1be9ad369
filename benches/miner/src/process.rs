//! The processes that are compared.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use synapse_http::OpenAiModule;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::sleep,
};

use crate::Fault;

/// A process, and the port it listens on.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Process {
    /// A part of this program.
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

    /// A llama-server with as many slots as there are streams at most.
    pub(crate) async fn llama_server(program: &Path, model: &Path, gpu: bool) -> Result<Self, Fault> {
        const LOADED_WITHIN: Duration = Duration::from_secs(120);
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let mut child = Command::new(program)
            .arg("--model")
            .arg(model)
            .args([
                "--port",
                &port.to_string(),
                "--parallel",
                "16",
                "--ctx-size",
                "8192",
            ])
            .args(["--threads", "1", "--threads-batch", "1", "--alias", "m"])
            // Rather than a part of it where the GPU's memory is short.
            .args(gpu.then_some(["--gpu-layers", "all"]).into_iter().flatten())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let latest = Instant::now() + LOADED_WITHIN;
        let url = format!("http://127.0.0.1:{port}");
        // It listens before it has loaded its model.
        while OpenAiModule::connect(&url).await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("{} ended: {status}", program.display()).into());
            }
            if Instant::now() > latest {
                return Err(format!("{} was not ready within {LOADED_WITHIN:?}", program.display()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { child, port })
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
