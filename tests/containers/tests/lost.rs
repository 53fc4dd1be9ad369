//! What is left when somebody is killed: this process, or Docker.

#![cfg(target_os = "linux")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use containers::left;
use parts::OwnDocker;
use synapse_container::{ContainerSpec, Owner, Runtime};
use synapse_core::{HealthStatus, InferenceModule as _};
use synapse_miner::container::ContainerModule;
use tokio::time::sleep;

const OWNER: &str = "test-lost";

async fn connect(host: &str, owner: &str) -> Runtime {
    let owner = Owner::new(owner).expect("a name");
    Runtime::connect_to(host, owner).await.expect("Docker runs")
}

/// Says that this is the other process.
const OTHER: &str = "CONTAINERS_TEST_OTHER";

fn idle(image: &str) -> ContainerSpec {
    ContainerSpec::new(image)
        .command(["sleep", "1000"])
        .memory(32 << 20)
        .processes(16)
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_process_that_was_killed_are_removed() {
    let host = parts::docker();
    let runtime = connect(&host, OWNER).await;
    runtime.reconcile().await.expect("it answers");

    // This test again, as the process that is killed.
    let mut other = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", "starts_one_and_waits", "--nocapture"])
        .env("DOCKER_HOST", &host)
        .env(OTHER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut printed = BufReader::new(other.stdout.take().expect("it prints")).lines();
    let ours = runtime
        .start(&idle(&parts::image("probe")), 7)
        .await
        .expect("it starts");
    let theirs = printed
        .find_map(|line| line.ok()?.split_once("started ").map(|(_, name)| name.to_owned()))
        .expect("it started one");

    let alive = runtime.reconcile().await.expect("it answers");
    assert_eq!((alive.removed, alive.left), (0, 1), "its process runs");
    other.kill().expect("it is ours");
    other.wait().expect("it ends");
    let dead = runtime.reconcile().await.expect("it answers");
    assert_eq!((dead.removed, dead.left), (1, 0), "its process ended");
    let still = left(&host, OWNER);
    assert!(!still.contains(&theirs), "{still:?}");
    assert_eq!(still, [ours.name(), ours.name()], "ours and its directory");

    ours.remove().await.expect("it goes");
    ours.remove().await.expect("that it is gone is no fault");
    assert_eq!(left(&host, OWNER), [""; 0]);
}

/// Not a test but the other process of the one above, which runs this.
#[tokio::test]
async fn starts_one_and_waits() {
    if std::env::var_os(OTHER).is_none() {
        return;
    }
    let runtime = connect(&parts::docker(), OWNER).await;
    let container = runtime
        .start(&idle(&parts::image("probe")), 3)
        .await
        .expect("it starts");
    println!("\nstarted {}", container.name());
    sleep(Duration::from_secs(600)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_being_removed_already_is_waited_for() {
    let (host, owner) = (parts::docker(), "test-removed");
    let runtime = connect(&host, owner).await;
    let container = runtime
        .start(&idle(&parts::image("probe")), 1)
        .await
        .expect("it starts");
    // As the last thing that a process asked for before it was killed, and the first thing that its next life asks for.
    let (first, second) = tokio::join!(container.remove(), container.remove());
    first.expect("it goes");
    second.expect("that it is on its way is no fault");
    assert_eq!(left(&host, owner), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_docker_made_too_late_for_a_process_that_was_killed_is_removed() {
    let (host, owner) = (parts::docker(), "test-late");
    let runtime = connect(&host, owner).await;
    runtime.reconcile().await.expect("it answers");
    let image = parts::image("shout");
    // Of no process that runs.
    let made = Command::new("/usr/bin/docker")
        .args(["--host", &host, "create", "--label", "synapse.owner=test-late"])
        .args(["--name", "synapse-test-late-9-00000000", &image])
        .output()
        .expect("Docker's client is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let spec = ContainerSpec::new(image).memory(64 << 20).cpus(0.5).processes(32);
    let module = ContainerModule::builder(runtime, spec)
        .start()
        .await
        .expect("it becomes ready");
    let since = std::time::Instant::now();
    while left(&host, owner).len() != 2 {
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{:?}",
            left(&host, owner)
        );
        sleep(Duration::from_millis(50)).await;
    }
    module.shutdown().await.expect("it ends");
    assert_eq!(left(&host, owner), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_was_killed_is_reconciled() {
    let home = tempfile::tempdir().expect("a directory");
    let mut docker = OwnDocker::start(home.path());
    let image = {
        let mut saved = Command::new("/usr/bin/docker")
            .args(["--host", &parts::docker(), "save", &parts::image("shout")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("Docker's client is there");
        let loaded = Command::new("/usr/bin/docker")
            .args(["--host", docker.host(), "load", "--quiet"])
            .stdin(saved.stdout.take().expect("it writes"))
            .output()
            .expect("Docker's client is there");
        saved.wait().expect("it ends");
        let said = String::from_utf8(loaded.stdout).expect("text");
        said.trim().rsplit_once(' ').expect("a name").1.to_owned()
    };
    let owner = "test-restart";
    let runtime = connect(docker.host(), owner).await;
    let spec = ContainerSpec::new(image).memory(64 << 20).cpus(0.5).processes(32);
    let module = ContainerModule::builder(runtime.clone(), spec)
        .patience(Duration::from_secs(5))
        .start()
        .await
        .expect("it becomes ready");
    let before = left(docker.host(), owner);
    assert_eq!(before.len(), 2, "{before:?}");

    docker.kill();
    let health = module.health_check().await.expect("it answers");
    assert_eq!(
        health.status(),
        HealthStatus::Ready,
        "it runs on without its daemon"
    );
    let killed = std::time::Instant::now();
    docker.start_again();
    // The new daemon ends what it finds; another one is started.
    let deadline = Duration::from_secs(90);
    while left(docker.host(), owner).len() != 2
        || left(docker.host(), owner) == before
        || !module
            .health_check()
            .await
            .is_ok_and(|health| health.is_serving())
    {
        assert!(killed.elapsed() < deadline, "{:?}", left(docker.host(), owner));
        sleep(Duration::from_millis(100)).await;
    }
    println!(
        "answered again {:.1} s after Docker was started",
        killed.elapsed().as_secs_f64()
    );
    assert_eq!(
        module
            .get_metrics()
            .get("container.restarts", &[("replica", "0")]),
        Some(1.0)
    );
    module.shutdown().await.expect("it ends");
    assert_eq!(left(docker.host(), owner), [""; 0], "no orphan");
}
