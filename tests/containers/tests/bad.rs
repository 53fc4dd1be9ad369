//! Images that are no modules: each is told what is wrong with it, and nothing of it is left.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use containers::left;
use synapse_container::{ContainerSpec, Owner, Runtime};
use synapse_core::Error;
use synapse_miner::container::ContainerModule;
use tokio::time::sleep;

const OWNER: &str = "test-bad";

async fn runtime(owner: &str) -> Runtime {
    let owner = Owner::new(owner).expect("a name");
    let runtime = Runtime::connect_to(&parts::docker(), owner)
        .await
        .expect("Docker runs");
    runtime.reconcile().await.expect("it answers");
    runtime
}

/// The error of an image that is run so.
async fn run(runtime: &Runtime, spec: ContainerSpec, seconds: u64) -> Error {
    let started = ContainerModule::builder(
        runtime.clone(),
        spec.memory(64 << 20).processes(32).scratch(8 << 20),
    )
    .ready_within(Duration::from_secs(seconds))
    .start()
    .await;
    let error = started.expect_err("it is no module");
    assert_eq!(left(&parts::docker(), OWNER), [""; 0], "after {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_told_with_its_remedy() {
    let runtime = runtime(OWNER).await;
    let image = parts::image("probe");
    let shell = |script: &str| ContainerSpec::new(&image).command(["sh", "-c", script]);
    let cases = [
        (
            ContainerSpec::new("synapse-no-such:1"),
            60,
            "image_not_found",
            "pull or load it",
        ),
        (
            ContainerSpec::new(&image).command(["/nothing"]),
            60,
            "container_exited",
            "status 127",
        ),
        (
            ContainerSpec::new(&image).read_only("/", "/host"),
            60,
            "bad_mount",
            "the kernel's own files",
        ),
        (
            ContainerSpec::new(&image).cpus(f64::NAN),
            60,
            "bad_limit",
            "0.01 to 1024",
        ),
        (
            shell("echo no weights at /models >&2; exit 3"),
            60,
            "container_exited",
            "it ended with status 3; it wrote last: no weights at /models",
        ),
        (
            shell("echo loading; sleep 1000"),
            3,
            "container_not_ready",
            "it did not listen",
        ),
        (
            ContainerSpec::new(&image).command(["/probe", "serve"]),
            60,
            "container_no_interface",
            "GET /v1/models",
        ),
        (shell("yes a flood"), 3, "container_not_ready", "a flood"),
        (
            shell("dd if=/dev/zero of=/tmp/fill"),
            60,
            "container_exited",
            "give it more scratch",
        ),
        (
            shell("echo x >/models"),
            60,
            "container_exited",
            "let it write to /tmp",
        ),
        (
            shell("dd if=/dev/zero of=/dev/null bs=512M"),
            60,
            "container_exited",
            "give it more memory",
        ),
        (
            shell("busybox ln -s /var/run/docker.sock $SYNAPSE_SOCKET; sleep 1000"),
            60,
            "not_a_socket",
            "do not run this image",
        ),
    ];
    for (spec, seconds, code, told) in cases {
        let error = run(&runtime, spec, seconds).await;
        let shown = error.to_string();
        println!("{shown}");
        assert_eq!(error.code(), code, "{shown}");
        assert!(shown.contains(told), "{shown}");
        assert!(shown.len() < 2000, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_log_stays_small() {
    let runtime = runtime("test-flood").await;
    let spec = ContainerSpec::new(parts::image("probe"))
        .command([
            "sh",
            "-c",
            "dd if=/dev/zero bs=64k count=512 | busybox tr '\\000' x; echo; echo the end; sleep 1000",
        ])
        .memory(64 << 20)
        .cpus(1.0);
    let container = runtime.start(&spec, 0).await.expect("it starts");
    let since = Instant::now();
    loop {
        let lines = container.last_lines(5).await.expect("a log");
        assert!(lines.iter().map(String::len).sum::<usize>() <= 16 << 10);
        if lines.last().is_some_and(|line| line == "the end") {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "32 MiB are written");
        sleep(Duration::from_millis(100)).await;
    }
    container.remove().await.expect("it goes");
}
