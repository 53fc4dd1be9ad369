//! Miners that are killed at random moments under load: their validator's users see another miner's answer or an error,
//! and their engines and containers are found again or ended.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

mod load;
mod machine;
mod victim;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nodes_tests::{Random, Subnet, kills};
use tokio::time::{Instant, sleep};

use crate::{
    load::{Asked, Load, Outcome},
    machine::files,
    victim::{Engine, REPLICAS, Victim, free_address},
};

/// How often the word is said, by the miner that is never killed and in containers.
const STEADY: u32 = 3;
const CONTAINED: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_is_killed_again_and_again_leaves_nothing_and_serves_again() {
    let kills = kills(10).max(2);
    let mut random = Random::seeded("a miner");
    let docker = parts::docker();
    let (programs, image) = (tempfile::tempdir().unwrap(), parts::image("shout"));
    let program = few_tokens(programs.path());

    let subnet = Subnet::new();
    let _chain = subnet.chain().start().await;
    let steady_name = subnet.key("steady");
    let steady = subnet.miner("steady", STEADY, 80);
    let _steady = steady.spawn();
    let mut victims = [
        Victim::begin(
            Engine::Program,
            subnet.key("program"),
            subnet
                .miner_of("program")
                .arg(format!("--llama-server=http://{}", free_address()))
                .arg("--model-id=shout")
                .arg(format!("--start={}", program.display()))
                .arg(format!("--model={}", parts::model().display()))
                .arg("--threads=1")
                .arg("--parallel=2")
                .arg("--context=256"),
            &docker,
        ),
        Victim::begin(
            Engine::Image,
            subnet.key("image"),
            subnet
                .miner_of("image")
                .arg(format!("--image={image}"))
                .arg("--container-memory=64")
                .arg("--container-cpus=0.25")
                .arg("--engine-container-command=--times")
                .arg(format!("--engine-container-command={CONTAINED}"))
                .arg("--engine-container-command=--pause-ms")
                .arg("--engine-container-command=60")
                .arg(format!("--min-replicas={REPLICAS}"))
                .arg(format!("--max-replicas={REPLICAS}")),
            &docker,
        ),
    ];
    let _ = subnet.key("validator");
    subnet.register("validator", "validator").await;
    for key in ["steady", "program", "image"] {
        subnet.register(key, "miner").await;
    }
    // Its directory, which has its ledger, goes with it.
    let gateway = subnet.validator("validator").arg("--judge=false");
    let validator = gateway.start().await;
    let shouts = BTreeMap::from([
        (steady_name.clone(), STEADY),
        (victims[1].name.clone(), CONTAINED),
    ]);
    let mut load = Load::start(validator.address(), shouts);

    let mut kept = Vec::new();
    for victim in &mut victims {
        victim.serves(&mut load).await;
        victim.gone.clear();
        kept.push(files(victim.process.data()));
    }
    let (mut unready, began) = (0, Instant::now());
    for round in 1..=kills {
        // Each of them once in any case.
        let which = if round <= 2 { round - 1 } else { random.below(2) };
        let victim = &mut victims[usize::try_from(which).unwrap()];
        // Every other one is seen to serve first; others are killed while they start.
        if random.below(2) == 0 {
            victim.serves(&mut load).await;
        }
        sleep(Duration::from_millis(100 + random.below(2_400))).await;
        unready += u64::from(!victim.kill_and_restart(&mut random).await);
        load.so_far();
        if round % 20 == 0 {
            println!("{round} kills, {} s", began.elapsed().as_secs());
        }
    }
    for victim in &mut victims {
        victim.serves(&mut load).await;
    }
    let asked = load.end().await;
    tell(&asked, &victims, &steady_name, kills, unready);
    for victim in &victims {
        assert!(!victim.gone.is_empty(), "{} served again", victim.name);
    }
    for (victim, kept) in victims.into_iter().zip(kept) {
        victim.ends(&kept).await;
    }
}

/// A llama-server that says little.
fn few_tokens(folder: &Path) -> PathBuf {
    let program = folder.join("llama-server");
    let real = parts::llama_server();
    let script = format!("#!/bin/sh\nexec '{}' --n-predict 6 \"$@\"\n", real.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// What it came to.
fn tell(asked: &[Asked], victims: &[Victim], steady: &str, kills: u64, unready: u64) {
    let (mut complete, mut errors) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
    for asked in asked {
        match &asked.outcome {
            Outcome::Complete(miner) => *complete.entry(miner).or_default() += 1,
            Outcome::Error(code) => *errors.entry(code).or_default() += 1,
        }
    }
    let of = |miner: &str| complete.get(miner).copied().unwrap_or_default();
    // Of requests that began while a miner was gone: those that another one answered.
    let elsewhere = asked.iter().filter(|asked| {
        let answered_for = |victim: &Victim| {
            let is_another = matches!(&asked.outcome, Outcome::Complete(miner) if *miner != victim.name);
            let mut gone = victim.gone.iter();
            is_another && gone.any(|(killed, back)| (*killed..*back).contains(&asked.begun))
        };
        victims.iter().any(answered_for)
    });
    println!("{kills} kills, {unready} of them before it was ready");
    println!(
        "{} requests, {} complete: {} by llama-server, {} by containers, {} by the one that was never killed; {} of them in place of one that was gone; errors {errors:?}",
        asked.len(),
        complete.values().sum::<usize>(),
        of(&victims[0].name),
        of(&victims[1].name),
        of(steady),
        elsewhere.count(),
    );
    for victim in victims {
        let mut back: Vec<_> = victim.gone.iter().map(|(killed, back)| *back - *killed).collect();
        back.sort_unstable();
        println!(
            "{:?}: an answer again {:.1} s after a kill (median of {}), {:.1} s at most; {} found again and ended",
            victim.engine,
            back[back.len() / 2].as_secs_f64(),
            back.len(),
            back[back.len() - 1].as_secs_f64(),
            victim.found(),
        );
    }
}
