//! The order in which a module lives.

use std::time::Duration;

use synapse_core::{
    Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, async_trait,
};
use synapse_http::router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    modules::Stepwise,
    server::{PATIENCE, Reply, Running, chat, launch, post_head, start, start_with},
};

/// A stream of which the first event has arrived.
async fn streaming(server: &Running, module: &Stepwise) -> TcpStream {
    let body = chat(true);
    let mut stream = server.connect().await;
    stream
        .write_all((post_head("/v1/chat/completions", "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    module.step(1);
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"n\":1") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    stream
}

#[tokio::test]
async fn replies_under_way_end_before_the_module_does() {
    let module = Stepwise::default();
    let mut server = start(router(module.clone())).await;
    let mut stream = streaming(&server, &module).await;
    let mut resting = server.connect().await;
    resting
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut reply = [0; 4096];
    assert!(resting.read(&mut reply).await.unwrap() > 0);

    server.stop();
    assert_eq!(
        resting.read(&mut reply).await.unwrap(),
        0,
        "an idle connection is closed at once"
    );
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "new connections are refused"
    );
    assert_eq!(module.calls(), ["initialize"], "the module still runs");

    module.step(3);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(
        rest.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    server.ended().await.unwrap();
    assert_eq!(module.calls(), ["initialize", "body ended", "shutdown"]);
    assert_eq!(module.endings(), ["complete"]);
}

#[tokio::test]
async fn a_drain_has_a_deadline_after_which_replies_are_cut_off() {
    let module = Stepwise::default();
    let limit = Duration::from_millis(200);
    let server = start_with(router(module.clone()), |server| server.drain_timeout(limit)).await;
    let mut stream = streaming(&server, &module).await;
    let since = Instant::now();
    server.ended().await.unwrap();
    assert!(since.elapsed() >= limit && since.elapsed() < limit * 5);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a cut reply is not complete");
    assert_eq!(module.calls(), ["initialize", "body ended", "shutdown"]);
    assert_eq!(module.endings(), ["dropped"]);
}

#[tokio::test]
async fn it_is_not_ready_until_the_module_is() {
    let module = Stepwise::default().holds_initialize();
    let server = launch(router(module.clone()), |server| server).await;
    assert_eq!(server.get("/health/live").await.status, 200);
    let ready = server.get("/health/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (503, &"unhealthy".into())
    );
    assert_eq!(ready.json()["reason"], "the module is initialising");
    let refused = server.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "initialising"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(module.started(), 0);

    module.finish_initialize();
    while server.get("/health/ready").await.status != 200 {
        sleep(Duration::from_millis(5)).await;
    }
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_work() {
    let module = Stepwise::default();
    let server = start(router(module.clone())).await;
    let stream = streaming(&server, &module).await;
    drop(stream);
    while module.endings().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(module.endings(), ["dropped"]);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_end_has_had_it_all() {
    let module = Stepwise::default();
    let server = start(router(module.clone())).await;
    module.step(4);
    let mut stream = server.connect().await;
    let body = chat(true);
    stream
        .write_all(
            (post_head("/v1/chat/completions", "connection: close\r\n", body.len()) + &body).as_bytes(),
        )
        .await
        .unwrap();
    assert!(Reply::read(&mut stream).await.is_whole());
    drop(stream);
    server.ended().await.unwrap();
    assert_eq!(module.endings(), ["complete"]);
}

#[tokio::test]
async fn clients_that_leave_at_any_moment_leave_nothing_behind() {
    let module = Stepwise::default();
    module.step(1_000_000);
    let mut server = start(router(module.clone())).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let body = chat(true).replace("\"stream\"", "\"max_tokens\":40,\"stream\"");
    let request = post_head("/v1/chat/completions", "", body.len()) + &body;
    let mut waited = 0;
    for n in 0..300_usize {
        let mut stream = server.connect().await;
        // Primes, so that every stage is met at many places.
        let sent = if n % 4 == 0 {
            n * 31 % request.len()
        } else {
            request.len()
        };
        stream.write_all(&request.as_bytes()[..sent]).await.unwrap();
        let wanted = match n % 4 {
            2 => n * 37 % 700,
            3 => usize::MAX,
            _ => 0,
        };
        let mut seen = Vec::new();
        while seen.len() < wanted && !seen.ends_with(b"0\r\n\r\n") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        waited += usize::from(wanted == usize::MAX);
    }
    let since = Instant::now();
    while tasks() > before || module.endings().len() < module.started() {
        assert!(since.elapsed() < PATIENCE, "{} tasks, {before} before", tasks());
        sleep(Duration::from_millis(5)).await;
    }
    assert!(module.started() >= waited, "{}", module.started());
    let complete = module
        .endings()
        .iter()
        .filter(|ending| **ending == "complete")
        .count();
    assert!(
        complete >= waited && !module.endings().contains(&"broken"),
        "{complete} of {waited}"
    );
    server.stop();
    server.ended().await.unwrap();
}

/// Injects what can go wrong at either end of a module's life.
#[derive(Debug, Clone, Copy)]
enum Fails {
    Initialize,
    InitializePanics,
    Shutdown,
    ShutdownHangs,
}

#[async_trait]
impl InferenceModule for Fails {
    async fn initialize(&self) -> Result<(), Error> {
        match self {
            Self::Initialize => Err(Error::unavailable("no_gpu", "there is no GPU")),
            Self::InitializePanics => panic!("told to"),
            _ => Ok(()),
        }
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(Health::ready())
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        ModuleCapabilities::new("fails")
    }

    async fn run_inference(&self, _: Input) -> Result<Output, Error> {
        Err(Error::internal("unused", "nobody asks"))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        match self {
            Self::Shutdown => Err(Error::internal("disk_full", "the disk is full")),
            Self::ShutdownHangs => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn what_a_module_says_at_either_end_comes_out() {
    for (module, code) in [
        (Fails::Initialize, "no_gpu"),
        (Fails::InitializePanics, "module_panicked"),
        (Fails::Shutdown, "disk_full"),
        (Fails::ShutdownHangs, "shutdown_timeout"),
    ] {
        let server = launch(router(module), |server| {
            server.shutdown_timeout(Duration::from_millis(50))
        })
        .await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(server.ended().await.unwrap_err().code(), code);
    }
}

/// Whoever sends signals sends them to every server that listens for them.
#[cfg(unix)]
static SIGNALS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(unix)]
#[tokio::test]
async fn a_signal_that_ends_the_modules_shutdown_is_an_error() {
    let _alone = SIGNALS.lock().await;
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let server = synapse_http::Server::bind("127.0.0.1:0")
        .await
        .unwrap()
        .on_ready(|address| ready.send(address).unwrap());
    let serving = tokio::spawn(server.serve(router(Fails::ShutdownHangs)));
    let address = is_ready.await.unwrap();
    signal("-TERM");
    while TcpStream::connect(address).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(50)).await;
    assert!(!serving.is_finished(), "the module shuts down");
    signal("-INT");
    assert_eq!(serving.await.unwrap().unwrap_err().code(), "shutdown_interrupted");
}

/// Sends this process a signal.
#[cfg(unix)]
fn signal(name: &str) {
    let sent = std::process::Command::new("kill")
        .args([name, &std::process::id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_drains_and_a_second_one_cuts_the_drain_short() {
    let _alone = SIGNALS.lock().await;
    let module = Stepwise::default();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let server = synapse_http::Server::bind("127.0.0.1:0")
        .await
        .unwrap()
        .on_ready(|address| ready.send(address).unwrap());
    let serving = tokio::spawn(server.serve(router(module.clone())));
    let address = is_ready.await.unwrap();
    let body = chat(true);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all((post_head("/v1/chat/completions", "", body.len()) + &body).as_bytes())
        .await
        .unwrap();
    while module.started() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    signal("-TERM");
    while TcpStream::connect(address).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(50)).await;
    assert!(!serving.is_finished(), "it drains");
    signal("-INT");
    serving.await.unwrap().unwrap();
    assert_eq!(module.calls(), ["initialize", "body ended", "shutdown"]);
    assert_eq!(module.endings(), ["dropped"]);
}
