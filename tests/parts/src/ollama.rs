//! A real Ollama on a port of its own, with a home and a store of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::ollama_image::Image;

/// The name under which the chat model is in the store.
pub const MODEL: &str = "smollm2:latest";
/// How long it may take to listen on a machine that does other things too.
const READY: Duration = Duration::from_secs(60);

/// How an [`Ollama`] is to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct Start {
    kind: String,
    models: Option<PathBuf>,
    with_model: bool,
    variables: Vec<(String, String)>,
}

/// A running Ollama; it and its runners are killed when this is dropped.
#[derive(Debug)]
pub struct Ollama {
    child: Child,
    address: String,
    home: TempDir,
}

/// Starts an Ollama of this kind (`self-contained` or `current`) that has the chat model.
///
/// # Panics
/// Where it does not start.
#[must_use]
pub fn start(kind: &str) -> Ollama {
    Start::new(kind).start()
}

impl Start {
    /// An Ollama of this kind, `self-contained` or `current`, that has the chat model and works on one request at once.
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            models: None,
            with_model: true,
            variables: vec![("OLLAMA_NUM_PARALLEL".to_owned(), "1".to_owned())],
        }
    }

    /// Without any model.
    pub fn without_models(self) -> Self {
        Self {
            with_model: false,
            ..self
        }
    }

    /// With its store in this directory rather than in one of its own.
    pub fn models(self, directory: impl Into<PathBuf>) -> Self {
        Self {
            models: Some(directory.into()),
            ..self
        }
    }

    /// With this variable in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start; what it wrote is shown.
    #[must_use]
    pub fn start(self) -> Ollama {
        let program = crate::ollama(&self.kind);
        let home = tempfile::tempdir().expect("a directory");
        let models = self.models.unwrap_or_else(|| home.path().join("models"));
        fs::create_dir_all(&models).expect("a directory");
        if self.with_model {
            Image::smollm2().store(&models, "smollm2");
        }
        let log = File::create(home.path().join("log")).expect("a log");
        let child = Command::new(program)
            .arg("serve")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("OLLAMA_MODELS", &models)
            .env("OLLAMA_HOST", "127.0.0.1:0")
            .env("OLLAMA_NO_CLOUD", "1")
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("Ollama starts");
        let mut ollama = Ollama {
            child,
            address: String::new(),
            home,
        };
        ollama.wait();
        ollama
    }
}

impl Ollama {
    /// Its address, `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process, which leads the group that its runners are in.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Where its store is, unless that was chosen.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Kills it and its runners at once, as the kernel does where memory is out.
    pub fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    fn wait(&mut self) {
        let until = Instant::now() + READY;
        while Instant::now() < until {
            let ended = self.child.try_wait().expect("a child").is_some();
            assert!(!ended, "Ollama ended at once:\n{}", self.log());
            if let Some(address) = listening(&self.log())
                && answers(&address)
            {
                self.address = address;
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("Ollama does not answer:\n{}", self.log());
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The address in `msg="Listening on 127.0.0.1:43210 (version 0.17.4)"`.
fn listening(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("Listening on ")?;
    let (address, _) = rest.split_once(' ')?;
    Some(address.to_owned())
}

fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /api/version HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.contains("200 OK"))
}
