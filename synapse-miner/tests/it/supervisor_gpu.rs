//! Engines at a GPU. The engine is a fake that writes what a llama-server wrote on one H100, recorded there with its memory
//! taken by another process and with its GPU hidden.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_miner::supervisor::{Devices, EngineEvent, EngineSpec, RestartPolicy, Supervisor};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// As it gives up: why, and then a stack that is longer than what is kept for the operator.
const FULL: &str = r#"
import os
def write(*lines): os.write(2, "".join(line + "\n" for line in lines).encode())
write("0.00.021.909 I srv    load_model: loading model 'model.gguf'",
    "/src/ggml/src/ggml-cuda/ggml-cuda.cu:109: CUDA error",
    "0.01.752.013 E CUDA error: out of memory",
    "0.01.752.026 E   current device: 0, in function stream at /src/ggml/src/ggml-cuda/../ggml-cuda/common.cuh:1522",
    "0.01.752.028 E   cudaStreamCreateWithFlags(&streams[device][stream], 0x01)")
write(*(f"/usr/bin/llama-server(+0x1a659{at:02x})[0x563711d179fb]" for at in range(18)))
write("/lib/x86_64-linux-gnu/libc.so.6(+0x2a1ca)[0x7f2302e2a1ca]",
    "/lib/x86_64-linux-gnu/libc.so.6(__libc_start_main+0x8b)[0x7f2302e2a28b]",
    "/usr/bin/llama-server(+0x1edf55)[0x56371049ff55]")
os.abort()
"#;

/// It sees no GPU, says so, and serves.
const HIDDEN: &str = r#"
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
os.write(2, b"0.00.014.851 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected\n")
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"[]")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"#;

fn fake(folder: &Path, script: &str) -> EngineSpec {
    let (model, program, source) = (
        folder.join("model.gguf"),
        folder.join("llama-server"),
        folder.join("fake.py"),
    );
    std::fs::write(&model, "GGUF").unwrap();
    std::fs::write(&source, script).unwrap();
    let start = format!("#!/bin/sh\nexec python3 {} \"$@\"\n", source.display());
    std::fs::write(&program, start).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let soon = RestartPolicy::default()
        .backoff(Duration::from_millis(10), Duration::from_millis(20))
        .crash_loop(2, Duration::from_secs(60));
    EngineSpec::llama_server(program, model).restart(soon)
}

type Heard = Arc<Mutex<Vec<EngineEvent>>>;

fn heard(spec: EngineSpec) -> (EngineSpec, Heard) {
    let events = Heard::default();
    let heard = events.clone();
    (
        spec.on_event(move |event| heard.lock().unwrap().push(event.clone())),
        events,
    )
}

#[tokio::test]
async fn one_that_finds_its_gpu_full_says_so_though_a_stack_follows() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, events) = heard(fake(folder.path(), FULL));
    let supervisor = Supervisor::start(spec).unwrap();
    timeout(PATIENCE, supervisor.ready()).await.unwrap().unwrap_err();
    let death = supervisor.status().last_death.unwrap();
    assert_eq!((death.code, death.hopeless), ("engine_gpu_memory_short", false));
    assert!(death.hint.unwrap().contains("nvidia-smi"));
    assert!(death.last_line().unwrap().contains("cudaStreamCreateWithFlags"));
    let told = events.lock().unwrap().last().unwrap().to_string();
    assert!(
        told.contains(r#"it wrote "0.01.752.013 E CUDA error: out of memory""#),
        "{told}"
    );
    supervisor.stop().await;
}

#[tokio::test]
async fn one_that_finds_no_gpu_and_goes_on_without_is_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    for (devices, is_alert) in [
        (Some(Devices::cuda([7])), true),
        (None, true),
        (Some(Devices::none()), false),
    ] {
        let mut spec = fake(folder.path(), HIDDEN);
        if let Some(devices) = &devices {
            spec = spec.devices(devices.clone());
        }
        let (spec, events) = heard(spec);
        let supervisor = Supervisor::start(spec).unwrap();
        timeout(PATIENCE, supervisor.ready()).await.unwrap().unwrap();
        supervisor.stop().await;
        let events = events.lock().unwrap();
        let alerts: Vec<_> = events.iter().filter(|event| event.is_alert()).collect();
        let codes: Vec<_> = alerts.iter().map(|event| event.code()).collect();
        let expected: &[&str] = if is_alert { &["engine_without_gpu"] } else { &[] };
        assert_eq!(codes, expected, "{devices:?}: {events:?}");
        if let [alert] = alerts.as_slice() {
            assert!(
                alert.to_string().contains("no CUDA-capable device is detected"),
                "{alert}"
            );
        }
    }
}
