//! llama.cpp's own server on a port of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The name that it gives the chat model.
pub const MODEL: &str = "smollm2";
/// How long it may take to load the model on a machine that does other things too.
const READY: Duration = Duration::from_secs(120);

/// How a [`LlamaServer`] is to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct Start {
    model: Option<PathBuf>,
    slots: u32,
    context: u32,
    flags: Vec<String>,
}

/// A running llama-server; it is killed when this is dropped.
#[derive(Debug)]
pub struct LlamaServer {
    child: Child,
    address: SocketAddr,
    home: TempDir,
}

/// Starts a llama-server with the chat model, two slots of 512 tokens each, one thread, and its pages of metrics and slots.
///
/// # Panics
/// Where it does not start.
#[must_use]
pub fn start() -> LlamaServer {
    Start::new().start()
}

impl Start {
    /// As [`start`] does.
    pub fn new() -> Self {
        Self {
            model: None,
            slots: 2,
            context: 512,
            flags: vec!["--metrics".to_owned(), "--slots".to_owned()],
        }
    }

    /// With another model than the chat model.
    pub fn model(self, path: impl Into<PathBuf>) -> Self {
        Self {
            model: Some(path.into()),
            ..self
        }
    }

    /// With so many slots of so many tokens each.
    pub fn slots(self, slots: u32, context: u32) -> Self {
        Self {
            slots,
            context,
            ..self
        }
    }

    /// With these flags instead of those that show metrics and slots.
    pub fn flags(self, flags: &[&str]) -> Self {
        Self {
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..self
        }
    }

    /// Starts it, and waits until it has loaded its model.
    ///
    /// # Panics
    /// Where it does not start; what it wrote is shown.
    #[must_use]
    pub fn start(self) -> LlamaServer {
        let mut server = self.launch();
        server.wait();
        server
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Panics
    /// Where there is no such program.
    #[must_use]
    pub fn launch(self) -> LlamaServer {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        self.launch_at(address)
    }

    /// As [`launch`](Self::launch), at this address: that of one that was killed, say.
    ///
    /// # Panics
    /// Where there is no such program.
    #[must_use]
    pub fn launch_at(self, address: SocketAddr) -> LlamaServer {
        let home = tempfile::tempdir().expect("a directory");
        let log = File::create(home.path().join("log")).expect("a log");
        let model = self.model.unwrap_or_else(crate::model);
        let child = Command::new(crate::llama_server())
            .arg("--model")
            .arg(model)
            .args(["--alias", MODEL, "--host", "127.0.0.1"])
            .args(["--port", &address.port().to_string()])
            .args(["--parallel", &self.slots.to_string()])
            .args(["--ctx-size", &(self.slots * self.context).to_string()])
            // Two threads that spin on contended cores are far slower than one.
            .args(["--threads", "1", "--threads-batch", "1", "--no-warmup"])
            .args(self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("llama-server starts");
        LlamaServer { child, address, home }
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::new()
    }
}

impl LlamaServer {
    /// Its address, `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
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

    /// Kills it, as the night does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has loaded its model.
    ///
    /// # Panics
    /// Where it ends, or takes more than two minutes; what it wrote is shown.
    pub fn wait(&mut self) {
        let until = Instant::now() + READY;
        while !self.is_ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("llama-server ended with {status}:\n{}", self.log());
            }
            assert!(
                Instant::now() < until,
                "llama-server is not ready:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply)?;
            Ok(reply)
        };
        ask().is_ok_and(|reply| reply.split(' ').nth(1) == Some("200"))
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        self.kill();
    }
}
