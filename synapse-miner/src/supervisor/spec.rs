//! One description of an engine.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use synapse_core::Error;

use super::{Devices, EngineEvent, EngineKind, RestartPolicy, WarmUp, Watchdog, restart::LONGEST};

type Listener = Arc<dyn Fn(&EngineEvent) + Send + Sync>;

/// How an engine is started, probed, drained and read: plain data, and the same for every kind of engine.
///
/// ```
/// use synapse_miner::supervisor::{Devices, EngineSpec};
///
/// let spec = EngineSpec::llama_server("llama-server", "/models/smollm2.gguf")
///     .threads(4)
///     .context(8192)
///     .slots(4)
///     .devices(Devices::cuda([0]));
/// assert!(format!("{spec:?}").contains("smollm2.gguf"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct EngineSpec {
    pub(super) name: Arc<str>,
    pub(super) kind: EngineKind,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: Option<PathBuf>,
    pub(super) port: Option<u16>,
    pub(super) probe: String,
    pub(super) model: Option<PathBuf>,
    pub(super) devices: Option<Devices>,
    pub(super) threads: Option<u32>,
    pub(super) context: Option<u32>,
    pub(super) slots: Option<u32>,
    pub(super) warm_up: Option<WarmUp>,
    pub(super) start_limit: Duration,
    pub(super) drain: Duration,
    pub(super) grace: Duration,
    pub(super) restart: RestartPolicy,
    pub(super) watchdog: Watchdog,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) log_file: Option<(PathBuf, u64)>,
    pub(super) on_event: Option<Listener>,
}

impl EngineSpec {
    /// llama.cpp's `llama-server` with the model in this GGUF file; its slots and metrics are published on loopback.
    pub fn llama_server(program: impl Into<PathBuf>, model: impl Into<PathBuf>) -> Self {
        let mut spec = Self::of(EngineKind::LlamaServer, "llama-server", program);
        spec.model = Some(model.into());
        spec
    }

    /// `ollama serve`. It is on a port of its own, and has the models that the environment's `OLLAMA_MODELS` names.
    pub fn ollama(program: impl Into<PathBuf>) -> Self {
        Self::of(EngineKind::Ollama, "ollama", program)
    }

    /// `vllm serve` of this model: a name of the hub, or a folder.
    pub fn vllm(model: impl Into<PathBuf>) -> Self {
        let mut spec = Self::of(EngineKind::Vllm, "vllm", "vllm");
        spec.model = Some(model.into());
        spec
    }

    /// Any other program, which is ready once a `GET` of `probe` succeeds. In its arguments and environment `{port}` and
    /// `{address}` stand for what it is to listen on.
    pub fn new(name: &str, program: impl Into<PathBuf>, probe: &str) -> Self {
        let mut spec = Self::of(EngineKind::Other, name, program);
        probe.clone_into(&mut spec.probe);
        spec
    }

    fn of(kind: EngineKind, name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            kind,
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            port: None,
            probe: kind.probe().to_owned(),
            model: None,
            devices: None,
            threads: None,
            context: None,
            slots: None,
            warm_up: None,
            start_limit: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            restart: RestartPolicy::default(),
            watchdog: Watchdog::default(),
            state_dir: None,
            cgroup: None,
            log_file: None,
            on_event: None,
        }
    }

    /// What errors, events and metrics call it, and its file in the [state directory](Self::state_dir). The program's name
    /// unless set; two engines of one miner need two.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The same with another program.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// The same with one more argument, after those that the kind of engine needs.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The same with more arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The same with a variable in its environment, besides those of this process but for `SYNAPSE_…`: never shown.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Where it runs. This process's own directory unless set.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The port of 127.0.0.1 on which it always listens. A free one, another at each start, unless set.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The devices that it sees. All unless set.
    pub fn devices(mut self, devices: Devices) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Threads of the processor that compute. The engine's choice unless set; Ollama is told with each request instead.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The longest context of one request, in tokens. The engine's choice unless set.
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = Some(tokens);
        self
    }

    /// How many requests it works on at once. The engine's choice unless set.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// What it is asked before it counts as ready, so that the first user does not wait for a model or a kernel. Nothing
    /// unless set.
    pub fn warm_up(mut self, warm_up: WarmUp) -> Self {
        self.warm_up = Some(warm_up);
        self
    }

    /// The longest that it may take until it is ready. 10 minutes unless set.
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit.min(LONGEST);
        self
    }

    /// How long a wished restart waits for the requests under way. 30 s unless set.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// How long it is given to end by itself, after `SIGTERM`; then its whole process group is killed. 10 s unless set.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// When it is started again after it died.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// When it counts as hung.
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Where it is noted which process the engine is, so that one that outlived its miner is found and ended at the next
    /// start: a folder of the miner's data directory. Nowhere unless set.
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// The control group, a folder that exists below `/sys/fs/cgroup`, that it is put into before its program begins. This
    /// process's own unless set.
    pub fn cgroup(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(directory.into());
        self
    }

    /// Keeps what it writes in this file too. Past `bytes` the file is begun anew, and the one before kept beside it with
    /// the ending `.1`.
    pub fn log_file(mut self, path: impl Into<PathBuf>, bytes: u64) -> Self {
        self.log_file = Some((path.into(), bytes.max(1)));
        self
    }

    /// Calls this with whatever happens to the engine, besides logging it. It must not block.
    pub fn on_event(mut self, listener: impl Fn(&EngineEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(listener));
        self
    }

    /// The paths that it is asked by us, again and again.
    pub(super) fn looks(&self) -> Vec<String> {
        let load = self.kind.looks().iter().map(|path| (*path).to_owned());
        // Whether it is a server of ours is asked of every one that speaks OpenAI's API.
        let others = [self.probe.clone(), "/synapse/v1/capabilities".to_owned()];
        load.chain(others).collect()
    }

    pub(super) fn address(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
    }

    /// Refuses what cannot be meant.
    pub(super) fn check(&self) -> Result<(), Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(plain) {
            return Err(Error::invalid(
                "bad_engine_name",
                format!("an engine cannot be named {:?}", self.name),
            )
            .with_hint("use letters, digits, hyphens, dots and underscores"));
        }
        let unheard = match self.kind {
            EngineKind::Ollama if self.threads.is_some() => "threads",
            EngineKind::Vllm if self.threads.is_some() => "threads",
            EngineKind::Other if self.threads.or(self.context).is_some() => "threads and context",
            _ => return Ok(()),
        };
        Err(Error::unsupported(
            "engine_option_unsupported",
            format!("{} is not told {unheard} when it is started", self.name),
        )
        .with_hint("leave it out, or say it with the engine's own arguments or environment"))
    }
}

impl fmt::Debug for EngineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and the environment may hold keys.
        f.debug_struct("EngineSpec")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("program", &self.program)
            .field("model", &self.model)
            .field("port", &self.port)
            .field("devices", &self.devices)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
