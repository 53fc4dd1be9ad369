//! A miner that is killed, and its engine.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::watched::{PATIENCE, Watched, group, llama, send};

const STATE: &str = "SUPERVISOR_TEST_STATE";

/// Not a test but the miner of the next one, which runs this in a process of its own.
#[tokio::test]
async fn a_miner_for_the_next_test() {
    let Some(state) = env::var_os(STATE) else { return };
    let engine = Watched::ready(llama().state_dir(&state), "smollm2").await;
    let _body = engine.begin(400).await;
    fs::write(Path::new(&state).join("engine"), engine.pid().to_string()).unwrap();
    sleep(PATIENCE).await;
}

/// A miner in a process of its own, killed when it is dropped.
struct Miner(Child);

impl Drop for Miner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one, and waits until its engine works on a request; which process that is.
async fn start(state: &Path) -> (Miner, u32) {
    let miner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "miner::a_miner_for_the_next_test"])
        .env(STATE, state)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let miner = Miner(miner);
    let since = Instant::now();
    loop {
        let said = fs::read_to_string(state.join("engine")).unwrap_or_default();
        if let Ok(pid) = said.parse() {
            fs::remove_file(state.join("engine")).unwrap();
            return (miner, pid);
        }
        assert!(since.elapsed() < PATIENCE, "the miner's engine does not start");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn gone(pid: u32) {
    let since = Instant::now();
    while !group(pid).is_empty() {
        assert!(since.elapsed() < PATIENCE, "the engine {pid} lives on");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn killed_it_leaves_no_engine() {
    let state = tempfile::tempdir().unwrap();
    let (miner, engine) = start(state.path()).await;
    assert!(!group(engine).is_empty());
    let killed = Instant::now();
    drop(miner);
    gone(engine).await;
    eprintln!(
        "supervisor: miner killed -9: its engine was gone after {:.2} s",
        killed.elapsed().as_secs_f64()
    );
    assert!(killed.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_engine_that_outlived_it_is_ended_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let (miner, engine) = start(state.path()).await;
    // The shell that would end it goes first.
    let heirs = children(miner.0.id());
    for heir in heirs.into_iter().filter(|pid| *pid != engine) {
        send(heir, Signal::KILL);
    }
    drop(miner);
    assert!(!group(engine).is_empty(), "it outlives its miner");
    let next = Watched::ready(llama().state_dir(state.path()), "smollm2").await;
    gone(engine).await;
    let said = next.said("engine_orphan_ended");
    assert!(said[0].contains(&format!("as process {engine}")), "{said:?}");
    next.ask().await.unwrap();
    next.end().await;
}

/// The children of a process.
fn children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).unwrap().flatten();
    tasks
        .flat_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children
                .split_ascii_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}
