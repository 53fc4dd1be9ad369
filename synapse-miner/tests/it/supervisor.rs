//! Engines under supervision, through the public door. The engine is a fake that injects faults which real ones cannot be
//! made to have at a wish; how real ones are recovered is shown in `tests/engines`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use synapse_core::{
    Body, Chunk, Delta, FinishReason, InferenceModule as _, Input, Message, Output,
    testkit::{Conformance, Echo, Scripted},
};
use synapse_miner::supervisor::{
    Devices, EngineEvent, EnginePhase, EngineSpec, EngineStatus, RestartPolicy, Supervised, Supervisor,
    WarmUp, Watchdog,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Serves `/health` and llama-server's `/slots` on the port that it is given, with the faults that the further words name.
const FAKE: &str = r#"
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
port, faults = int(sys.argv[1]), sys.argv[2:]
if "deaf" in faults: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "exits" in faults: print("\x1b[31mno luck\x1b[0m", file=sys.stderr); sys.exit(3)
if "child" in faults and os.fork() == 0: time.sleep(600); sys.exit()
if "floods" in faults:
    for number in range(100000): print("line", number, "x" * 100)
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        if "never" in faults: return self.say(503, {"error": "Loading model"})
        if self.path == "/env": return self.say(200, dict(os.environ))
        if self.path == "/slots":
            if "strange" in faults: return self.say(200, {"places": [1, 2]})
            slot = {"id": 0, "is_processing": "stuck" in faults, "id_task": 1, "next_token": [{"n_decoded": 5}]}
            return self.say(200, [slot])
        self.say(200 if self.path == "/health" else 404, {})
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        print("warmed", self.path, flush=True)
        self.say(200, {})
    def say(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

fn fake(faults: &[&str]) -> EngineSpec {
    EngineSpec::new("fake", "python3", "/health")
        .args(["-c", FAKE, "{port}"])
        .args(faults)
        .restart(RestartPolicy::default().backoff(Duration::from_millis(10), Duration::from_millis(50)))
}

/// The same, read as llama-server is.
fn fake_llama(faults: &[&str]) -> (tempfile::TempDir, EngineSpec) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.gguf");
    std::fs::write(&model, "GGUF").unwrap();
    let script = format!("import sys; sys.argv = ['', sys.argv[6], *{faults:?}]\n{FAKE}");
    let program = folder.path().join("llama-server");
    let source = folder.path().join("fake.py");
    std::fs::write(&source, script).unwrap();
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec python3 {} \"$@\"\n", source.display()),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (folder, EngineSpec::llama_server(program, model))
}

async fn until(supervisor: &Supervisor, what: &str, is_so: impl Fn(&EngineStatus) -> bool) -> EngineStatus {
    let since = Instant::now();
    loop {
        let status = supervisor.status();
        if is_so(&status) {
            return status;
        }
        assert!(since.elapsed() < PATIENCE, "never {what}: {status:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn ready(spec: EngineSpec) -> Supervisor {
    let supervisor = Supervisor::start(spec).unwrap();
    timeout(PATIENCE, supervisor.ready()).await.unwrap().unwrap();
    supervisor
}

#[tokio::test]
async fn one_that_exits_at_once_is_in_a_crash_loop_and_says_what_it_wrote() {
    let policy = RestartPolicy::default()
        .backoff(Duration::from_millis(10), Duration::from_millis(20))
        .crash_loop(3, Duration::from_secs(60));
    let module = Supervised::start(fake(&["exits"]).restart(policy), |_| async {
        Ok(Echo::default())
    })
    .unwrap();
    let error = timeout(PATIENCE, module.initialize()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "engine_start_failed");
    assert!(error.message().contains("fake ended by itself with 3"), "{error}");
    let status = module.supervisor().status();
    assert!(status.crash_loop);
    assert_eq!((status.deaths, status.phase), (3, EnginePhase::Down));
    let death = status.last_death.unwrap();
    assert_eq!(death.last_line(), Some("no luck"));
    assert!(
        !error.to_string().contains("no luck"),
        "what it wrote is not for callers"
    );
    module.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_that_is_never_ready_is_killed_when_its_time_is_up() {
    let supervisor = Supervisor::start(fake(&["never"]).start_limit(Duration::from_secs(1))).unwrap();
    let status = until(&supervisor, "killed", |status| status.deaths > 0).await;
    assert_eq!(status.last_death.unwrap().code, "engine_start_timeout");
    supervisor.stop().await;
}

#[tokio::test]
async fn one_whose_tokens_stop_while_a_slot_is_busy_is_killed() {
    let watchdog = Watchdog::default()
        .every(Duration::from_millis(50))
        .stuck(Duration::from_millis(500));
    let (_folder, spec) = fake_llama(&["stuck"]);
    let supervisor = ready(spec.watchdog(watchdog)).await;
    let status = until(&supervisor, "hung", |status| {
        status.hangs > 0 && status.last_death.is_some()
    })
    .await;
    let death = status.last_death.unwrap();
    assert_eq!(death.code, "engine_hung");
    assert!(death.what.contains("made no token"), "{death}");
    supervisor.stop().await;
    let (_folder, spec) = fake_llama(&[]);
    let supervisor = ready(spec.watchdog(watchdog)).await;
    let loads = until(&supervisor, "read", |status| status.load.is_some()).await;
    assert_eq!(loads.load.unwrap().1.busy, Some(0));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(supervisor.status().hangs, 0, "an idle engine is no hung one");
    supervisor.stop().await;
}

#[tokio::test]
async fn one_that_tells_of_its_slots_in_unknown_words_is_not_killed_for_it() {
    let watchdog = Watchdog::default()
        .every(Duration::from_millis(20))
        .stuck(Duration::from_millis(200));
    let (_folder, spec) = fake_llama(&["strange"]);
    let supervisor = ready(spec.watchdog(watchdog)).await;
    let first = until(&supervisor, "read", |status| status.load.is_some())
        .await
        .load;
    assert_eq!(first.as_ref().unwrap().1.busy, None);
    let since = first.unwrap().0;
    until(&supervisor, "read again", |status| {
        let last = status.load.as_ref().map(|(at, _)| *at);
        last.is_some_and(|last| last - since > Duration::from_millis(600))
    })
    .await;
    let status = supervisor.status();
    assert_eq!((status.deaths, status.hangs), (0, 0));
    supervisor.stop().await;
}

#[tokio::test]
async fn a_module_of_it_passes_the_conformance_suite() {
    let module = Supervised::start(fake(&[]), |_| async { Ok(Echo::default()) }).unwrap();
    Conformance::new().timeout(PATIENCE).run(module).await.assert();
}

#[tokio::test]
async fn panics_of_whoever_listens_or_makes_modules_cost_no_engine() {
    let made = Arc::new(Mutex::new(0));
    let spec = fake(&[]).on_event(|event| panic!("a fault of the test, told {}", event.code()));
    let module = Supervised::start(spec, move |_| {
        *made.lock().unwrap() += 1;
        assert!(*made.lock().unwrap() > 1, "a fault of the test");
        async { Ok(Echo::default()) }
    })
    .unwrap();
    timeout(PATIENCE, module.initialize()).await.unwrap().unwrap();
    let answer = module
        .run_inference(Input::chat("echo", [Message::user("hi")]))
        .await;
    answer.unwrap();
    assert_eq!(module.supervisor().status().starts, 1);
    module.shutdown().await.unwrap();
}

#[tokio::test]
async fn several_wishes_for_a_restart_are_one_and_let_replies_end() {
    let end = Arc::new(Notify::new());
    let ended = end.clone();
    let scripted = move |_| {
        let ended = ended.clone();
        let chunks =
            stream::once(async { Ok(Chunk::delta(Delta::text("a"))) }).chain(stream::once(async move {
                ended.notified().await;
                Ok(Chunk::delta(Delta::finish(FinishReason::Stop)).into_last())
            }));
        async { Ok(Output::new(Body::new(chunks))) }
    };
    let module = Supervised::start(fake(&[]), move |_| {
        let module = Scripted::new(scripted.clone());
        async { Ok(module) }
    })
    .unwrap();
    timeout(PATIENCE, module.initialize()).await.unwrap().unwrap();
    let output = module
        .run_inference(Input::chat("scripted", [Message::user("hi")]))
        .await;
    let mut body = output.unwrap().body;
    body.next().await.unwrap().unwrap();
    let wish = || {
        let module = module.clone();
        tokio::spawn(async move { module.supervisor().restart().await })
    };
    let wishes = [wish(), wish(), wish()];
    until(module.supervisor(), "draining", |status| {
        status.phase == EnginePhase::Draining
    })
    .await;
    // Nothing more may come of the other wishes, which are heard meanwhile.
    sleep(Duration::from_millis(300)).await;
    end.notify_one();
    body.next().await.unwrap().expect("the reply ends whole");
    for wish in wishes {
        timeout(PATIENCE, wish).await.unwrap().unwrap().unwrap();
    }
    let status = module.supervisor().status();
    assert_eq!((status.starts, status.deaths), (2, 0));
    module.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_of_one_name_leave_each_other_alone() {
    let state = tempfile::tempdir().unwrap();
    let first = ready(fake(&[]).state_dir(state.path())).await;
    let second = Supervisor::start(fake(&[]).state_dir(state.path())).unwrap();
    let error = timeout(PATIENCE, second.ready()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "engine_start_failed");
    assert!(
        error.message().contains("give this engine another name"),
        "{error}"
    );
    assert_eq!(
        second.status().last_death.unwrap().code,
        "engine_already_supervised"
    );
    assert_eq!(
        (first.status().phase, first.status().deaths),
        (EnginePhase::Ready, 0)
    );
    first.stop().await;
    until(&second, "up once the first is gone", |status| {
        status.phase == EnginePhase::Ready
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn times_without_an_end_are_heard_as_such() {
    let policy = RestartPolicy::default()
        .crash_loop(1, Duration::MAX)
        .slow(Duration::MAX);
    let watchdog = Watchdog::default().every(Duration::MAX);
    let endless = |spec: EngineSpec| {
        spec.start_limit(Duration::MAX)
            .restart(policy.clone().backoff(Duration::MAX, Duration::MAX))
            .watchdog(watchdog)
    };
    let supervisor = ready(endless(fake(&[]))).await;
    supervisor.stop().await;
    let supervisor = Supervisor::start(endless(fake(&["exits"]))).unwrap();
    let status = until(&supervisor, "down", |status| status.crash_loop).await;
    assert!(status.next_start.unwrap() - Instant::now() > Duration::from_secs(1 << 20));
    let error = supervisor.ready().await.unwrap_err();
    assert_eq!(error.code(), "engine_start_failed");
    supervisor.stop().await;
}

#[tokio::test]
async fn one_that_hears_no_signal_is_killed_with_its_children_after_the_grace() {
    let supervisor = ready(fake(&["deaf", "child"]).grace(Duration::from_millis(300))).await;
    let pid = supervisor.status().pid.unwrap();
    let since = Instant::now();
    timeout(PATIENCE, supervisor.stop()).await.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(300));
    let group = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // Its child is reaped by whoever reaps orphans here.
    let since = Instant::now();
    while rustix::process::test_kill_process_group(group).is_ok() {
        assert!(since.elapsed() < PATIENCE, "its child lives");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(supervisor.status().phase, EnginePhase::Stopped);
    assert_eq!(supervisor.ready().await.unwrap_err().code(), "engine_stopped");
}

#[tokio::test]
async fn it_is_warmed_up_told_its_devices_and_not_our_secrets() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let body = serde_json::json!({ "prompt": "Hi" });
    let spec = fake(&["floods"])
        .devices(Devices::cuda([1, 3]))
        .env("WHERE", "at {address}")
        .warm_up(WarmUp::new("/warm", &body))
        .on_event(move |event| heard.lock().unwrap().push(event.clone()));
    let supervisor = ready(spec).await;
    let address = supervisor.status().address.unwrap();
    let lines = supervisor.last_lines();
    assert!(
        lines.len() <= 200 && lines.contains(&"warmed /warm".to_owned()),
        "{}",
        lines.len()
    );
    let url = format!("http://{address}/env");
    let environment = tokio::task::spawn_blocking(move || get(&url)).await.unwrap();
    assert!(
        environment.contains(r#""CUDA_VISIBLE_DEVICES": "1,3""#),
        "{environment}"
    );
    assert!(
        environment.contains(r#""CUDA_DEVICE_ORDER": "PCI_BUS_ID""#),
        "{environment}"
    );
    assert!(environment.contains(&format!(r#""WHERE": "at {address}""#)));
    assert!(!environment.contains("SYNAPSE_"));
    let codes: Vec<_> = events.lock().unwrap().iter().map(EngineEvent::code).collect();
    assert_eq!(codes, ["engine_starting", "engine_ready"]);
    supervisor.stop().await;
}

fn get(url: &str) -> String {
    use std::io::{Read as _, Write as _};
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_an_engine_cannot_be_told_is_refused() {
    let refused = |spec: EngineSpec| Supervisor::start(spec).unwrap_err();
    let error = refused(EngineSpec::ollama("ollama").threads(2));
    assert_eq!(error.code(), "engine_option_unsupported");
    assert!(
        error.to_string().contains("ollama is not told threads"),
        "{error}"
    );
    let error = refused(EngineSpec::ollama("ollama").name("../x"));
    assert_eq!(error.code(), "bad_engine_name");
    assert_eq!(refused(EngineSpec::ollama("ollama")).code(), "no_runtime");
    let shown = format!(
        "{:?}",
        EngineSpec::ollama("ollama")
            .env("KEY", "hidden")
            .arg("--api-key=hidden")
    );
    assert!(!shown.contains("hidden"), "{shown}");
}
