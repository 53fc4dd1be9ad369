//! An engine as a process.

use std::{
    fs, io,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{EngineDeath, EngineSpec, logs::Logs, memory::Kills, note::Note, symptom::is_frame};

/// Becomes the engine once it is told to, and ends where nobody is left to tell it: until then its process is known, noted
/// and in its control group, and has done nothing.
const GATE: &str = r#"read -r word && [ "$word" = go ] || exit 125; exec "$@" </dev/null"#;

/// Ends the engine's process group once this process is gone, however it went; one told that the engine ended does nothing.
const HEIR: &str = r#"read -r word; [ "$word" = ended ] && exit 0
kill -s TERM -- "-$1" 2>/dev/null
tries=0
while kill -s 0 -- "-$1" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -s KILL -- "-$1" 2>/dev/null; exit 0"#;

/// How long what an engine wrote last is waited for, once it is gone.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Lines that are shown of those.
const SHOWN: usize = 20;

/// An engine that was started. Dropped, its whole process group is killed.
#[derive(Debug)]
pub(super) struct Process {
    spec: Arc<EngineSpec>,
    child: Child,
    group: Pid,
    heir: Child,
    to_heir: Option<ChildStdin>,
    readers: Vec<JoinHandle<()>>,
    logs: Logs,
    note: Option<Note>,
    kills: Kills,
    /// It is gone, and its number may be somebody else's.
    over: bool,
}

impl Process {
    /// Starts it to listen on `port`. Where that fails nothing of it is left: its shell ends once nobody can tell it to go.
    pub(super) async fn launch(
        spec: &Arc<EngineSpec>,
        port: u16,
        logs: &Logs,
        note: Option<Note>,
    ) -> io::Result<Self> {
        logs.begin();
        let mut child = command(spec, port).spawn()?;
        let no_pipe = || io::Error::other("the engine has no standard input");
        let mut gate = child.stdin.take().ok_or_else(no_pipe)?;
        let pid = child.id().unwrap_or_default();
        let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("the engine has no process id"))?;
        let mut heir = shell(HEIR).arg(pid.to_string()).spawn()?;
        let to_heir = heir.stdin.take().ok_or_else(no_pipe)?;
        if let Some(cgroup) = &spec.cgroup {
            join_cgroup(cgroup, pid)?;
        }
        if let Some(note) = &note {
            note.write(pid)?;
        }
        let mut readers = Vec::new();
        readers.extend(
            child
                .stdout
                .take()
                .map(|from| tokio::spawn(logs.clone().follow(from))),
        );
        readers.extend(
            child
                .stderr
                .take()
                .map(|from| tokio::spawn(logs.clone().follow(from))),
        );
        let process = Self {
            spec: spec.clone(),
            kills: Kills::watch(pid),
            child,
            group,
            heir,
            to_heir: Some(to_heir),
            readers,
            logs: logs.clone(),
            note,
            over: false,
        };
        gate.write_all(b"go\n").await?;
        Ok(process)
    }

    /// Its process id, which is its group's too.
    pub(super) fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether the system killed a process of its control group for want of memory, since it was last asked.
    pub(super) fn ran_out_of_memory(&mut self) -> bool {
        self.kills.is_of_a_group() && self.kills.moved()
    }

    /// Waits until it is gone by itself. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it: asks it to, gives it `grace`, and kills what is left of its group.
    pub(super) async fn end(&mut self, grace: Duration) -> EngineDeath {
        let _ = kill_process_group(self.group, Signal::TERM);
        // One that is stopped hears nothing before it goes on.
        let _ = kill_process_group(self.group, Signal::CONT);
        if timeout(grace, self.child.wait()).await.is_err() {
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.child.wait().await;
        }
        self.bury().await;
        let mut death = EngineDeath::new(&self.spec.name, "engine_stopped", "was stopped");
        death.last_lines = self.logs.last(SHOWN);
        death
    }

    /// Kills it, since `death`, where it is not gone yet.
    pub(super) async fn kill(&mut self, mut death: EngineDeath) -> EngineDeath {
        if self.over {
            return death;
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait().await;
        self.bury().await;
        death.last_lines = self.logs.last(SHOWN);
        death
    }

    /// It is gone with this status; says why.
    pub(super) async fn gone(&mut self, status: io::Result<ExitStatus>) -> EngineDeath {
        self.bury().await;
        let out_of_memory = self.kills.moved();
        let last = self.logs.last_but(SHOWN, is_frame);
        match status {
            Ok(status) => EngineDeath::explain(&self.spec.name, self.spec.kind, status, out_of_memory, last),
            Err(error) => EngineDeath::new(
                &self.spec.name,
                "engine_exited",
                format!("is gone, and the system does not say how: {error}"),
            ),
        }
    }

    /// Its leader is gone; ends the others of its group, and whoever watched over it.
    async fn bury(&mut self) {
        self.over = true;
        // Its number is nobody else's yet: the system gives them out in turn.
        let _ = kill_process_group(self.group, Signal::KILL);
        let last_words = async {
            for reader in &mut self.readers {
                let _ = reader.await;
            }
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        if let Some(mut heir) = self.to_heir.take() {
            let _ = heir.write_all(b"ended\n").await;
        }
        let _ = timeout(LAST_WORDS, self.heir.wait()).await;
        if let Some(note) = &self.note {
            note.remove();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.over {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
        // A process that left the group may hold the other end.
        for reader in &self.readers {
            reader.abort();
        }
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    // A group of its own each, so that what a terminal sends to this process is for this process to pass on.
    command
        .args(["-c", script, "sh"])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn command(spec: &EngineSpec, port: u16) -> Command {
    let mut command = shell(GATE);
    let engine = spec.kind.command(spec, EngineSpec::address(port));
    command
        .arg(&spec.program)
        .args(engine.arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Secrets of this process's configuration are no business of an engine's.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"SYNAPSE_") {
            command.env_remove(name);
        }
    }
    for name in engine.removed {
        command.env_remove(name);
    }
    command.envs(engine.environment);
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    command
}

fn join_cgroup(cgroup: &Path, pid: u32) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), pid.to_string())
}
