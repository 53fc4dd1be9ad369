//! A set-up as an operator has it, over real HTTP and TLS, and what preflight says of a good one.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Chunk, Delta, Directory, Endpoint, EpochId, Error, FinishReason, InferenceModule,
    Input, Member, ModelInfo, ModuleCapabilities, Output, Role, SubnetId, SubnetSummary, SystemClock, Task,
    WallClock, Watch,
    keys::{Keypair, Scheme, Signer},
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, Server, Verifier, tls::NodeTls};
use synapse_miner::{
    Preflight,
    preflight::{Report, Status},
};
use tokio::task::JoinHandle;

/// An engine that is honest unless it is told otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Engine {
    /// Before each word.
    pub(crate) pause: Duration,
    /// In words.
    pub(crate) context: usize,
    pub(crate) has_second_model: bool,
    pub(crate) streams: bool,
}

impl Engine {
    pub(crate) const HONEST: Self = Self {
        pause: Duration::from_millis(3),
        context: 2048,
        has_second_model: true,
        streams: true,
    };

    pub(crate) fn start(self) -> Scripted {
        let claims = ModuleCapabilities::new("engine")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new("first").with_context_length(2048))
            .with_model(ModelInfo::new("second").with_context_length(2048))
            .with_streaming();
        Scripted::new(move |input| self.answer(input)).with_capabilities(claims)
    }

    async fn answer(self, input: Input) -> Result<Output, Error> {
        let model = input.model()?;
        if !(model == "first" || model == "second" && self.has_second_model) {
            return Err(Error::model_not_found(model));
        }
        let request = input.request()?;
        let texts = request
            .messages()
            .iter()
            .filter_map(|message| message.content.text());
        let words: usize = texts.map(|text| text.split_whitespace().count()).sum();
        if words > self.context {
            return Err(Error::invalid(
                "context_length_exceeded",
                "the prompt is too long",
            ));
        }
        let words = (0..24).map(|number| Delta::text(format!("word{number} ")));
        let end = Delta::finish(FinishReason::Stop);
        if !self.streams {
            tokio::time::sleep(self.pause * 24).await;
            let text: String = words.map(|delta| delta.text).collect();
            return Ok(Output::new(Body::from_deltas([Delta::text(text), end])));
        }
        let words = stream::iter(words).then(move |delta| async move {
            tokio::time::sleep(self.pause).await;
            Ok(Chunk::delta(delta))
        });
        let mut body = Body::new(words.chain(stream::iter([Ok(Chunk::delta(end).into_last())])));
        body.peek().await?;
        Ok(Output::new(body))
    }
}

/// The machine's clock, set wrong by so many seconds.
#[derive(Debug)]
pub(crate) struct Off(pub(crate) i64);

impl WallClock for Off {
    fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.0.unsigned_abs());
        let now = SystemClock.now();
        if self.0 < 0 { now - by } else { now + by }
    }
}

pub(crate) fn key() -> Arc<Keypair> {
    Arc::new(Keypair::generate(Scheme::Sr25519).unwrap())
}

/// An address of this machine that nobody listens on now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn https(address: SocketAddr) -> Endpoint {
    Endpoint::http(&format!("https://{address}")).unwrap()
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves `api`, with TLS of `key` where there is one, and returns once it is ready.
pub(crate) async fn serve(api: Api, key: Option<Arc<Keypair>>) -> Running {
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let server = Server::bind("127.0.0.1:0")
        .await
        .unwrap()
        .shutdown(std::future::pending());
    let server = server.on_ready(move |_| {
        let _ = ready.send(());
    });
    let server = match key {
        Some(key) => server.tls(NodeTls::new(key).await.unwrap()),
        None => server,
    };
    let address = server.local_addr();
    let serving = tokio::spawn(async move { server.serve(api).await.unwrap() });
    is_ready.await.unwrap();
    Running { address, serving }
}

/// A miner of `key` that runs already, and knows one validator.
pub(crate) async fn running(key: &Arc<Keypair>, validator: &Keypair, clock: Arc<dyn WallClock>) -> Running {
    let member = Member::new(validator.address().clone(), Role::Validator);
    let directory = Watch::constant(Directory::new([member], BlockNumber(1)));
    let verifier = Verifier::new(key.address().clone(), directory).clock(clock);
    let api = synapse_http::router(Engine::HONEST.start()).signed(verifier);
    serve(api, Some(key.clone())).await
}

/// A server that says what time it is, as a validator's does.
pub(crate) async fn reference() -> Running {
    serve(synapse_http::router(Echo::new()), None).await
}

/// What is to be served on one machine, of `key` and advertised as it is.
pub(crate) async fn set_up(key: &Arc<Keypair>, engine: impl InferenceModule) -> Preflight {
    let address = free_address();
    Preflight::new(key.address().clone(), https(address))
        .serve(address.to_string(), engine)
        .tls(NodeTls::new(key.clone()).await.unwrap())
        .allow_loopback(true)
}

/// How the others of a subnet do.
pub(crate) fn others(tokens_a_second: u64) -> SubnetSummary {
    let mut summary = SubnetSummary::new(SubnetId(1), "validator".into(), EpochId(1));
    summary.miners = 5;
    summary.speed_mtps = Some(tokens_a_second * 1000);
    summary.first_content_us = Some(5_000_000);
    summary
}

/// The names of what failed.
pub(crate) fn failed(report: &Report) -> Vec<&str> {
    report.failed().map(|check| check.name).collect()
}

pub(crate) fn status(report: &Report, name: &str) -> Status {
    report
        .check(name)
        .unwrap_or_else(|| panic!("no {name} in {report}"))
        .status
}

pub(crate) fn text<'a>(report: &'a Report, name: &str) -> &'a str {
    &report
        .check(name)
        .unwrap_or_else(|| panic!("no {name} in {report}"))
        .text
}

#[tokio::test]
async fn a_good_set_up_passes_every_check() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), reference().await);
    let report = set_up(&key(), Engine::HONEST.start())
        .await
        .data_dir(dir.path().join("not-yet-there"))
        .least_free(1 << 20)
        .compare_with(others(10))
        .compare_clock_with(format!("http://{}", clock.address))
        .run()
        .await;
    let names: Vec<_> = report.checks.iter().map(|check| check.name).collect();
    assert_eq!(
        names,
        [
            "disk",
            "engine",
            "port",
            "certificate",
            "reachability",
            "identity",
            "replies",
            "signatures",
            "clock",
            "capabilities",
            "models",
            "context",
            "streaming",
            "errors",
            "speed"
        ]
    );
    assert!(
        report.checks.iter().all(|check| check.status == Status::Passed),
        "{report}"
    );
    assert!(report.is_ok());
}

#[tokio::test]
async fn what_nobody_asked_for_is_skipped_and_says_so() {
    let report = set_up(&key(), Engine::HONEST.start()).await.run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.check("disk").is_none());
    assert_eq!(status(&report, "clock"), Status::Skipped);
    assert_eq!(status(&report, "speed"), Status::Skipped);
    assert!(text(&report, "speed").contains("tokens a second"), "{report}");
}

#[tokio::test]
async fn a_running_miner_is_looked_at_as_a_member() {
    let (miner, validator) = (key(), key());
    let running = running(&miner, &validator, Arc::new(SystemClock)).await;
    let preflight = || Preflight::new(miner.address().clone(), https(running.address)).allow_loopback(true);
    let report = preflight().ask_as(validator.clone()).run().await;
    assert!(report.is_ok(), "{report}");
    for name in [
        "identity",
        "signatures",
        "clock",
        "capabilities",
        "models",
        "context",
        "streaming",
    ] {
        assert_eq!(status(&report, name), Status::Passed, "{report}");
    }

    let as_nobody = preflight().run().await;
    assert!(as_nobody.is_ok(), "{as_nobody}");
    assert_eq!(status(&as_nobody, "clock"), Status::Passed);
    assert_eq!(status(&as_nobody, "signatures"), Status::Warning);
    assert_eq!(status(&as_nobody, "models"), Status::Skipped);
}

#[tokio::test]
async fn a_report_is_a_table_and_json() {
    let report = set_up(
        &key(),
        Engine {
            has_second_model: false,
            ..Engine::HONEST
        }
        .start(),
    )
    .await
    .run()
    .await;
    let table = report.to_string();
    assert!(table.contains("FAILED   models "), "{table}");
    assert!(table.ends_with("1 check failed"), "{table}");
    let json = serde_json::to_value(&report).unwrap();
    let models = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "models");
    assert_eq!(models.unwrap()["status"], "failed");
}
