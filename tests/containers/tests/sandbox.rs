//! What tries to get out of a container, or to take more than its share: under Docker's defaults, hardened, and in gVisor.
//! `scripts/check-sandbox` prints the table.

#![cfg(target_os = "linux")]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::linux::net::SocketAddrExt as _,
    os::unix::net::{SocketAddr, UnixListener},
    process::Command,
    time::Duration,
};

use synapse_container::{ContainerSpec, Owner, Runtime, Sandbox};
use tokio::time::timeout;

/// The attempts that `ATTEMPTS` names, one after the other.
const MAKE: &str = r#"for name in $ATTEMPTS; do echo "$name $(/probe "$name" </dev/null 2>/dev/null || echo "refused it was ended")"; done"#;

/// Calls that gVisor answers with what is its own: none of them reaches the machine's kernel.
const WITHIN_GVISOR: [&str; 11] = [
    "clone-namespace",
    "files-tmp",
    "io-uring",
    "kernel-log",
    "memfd-exec",
    "mknod",
    "mount-namespace",
    "netlink",
    "priority",
    "ptrace",
    "user-namespace",
];

/// What an attempt did, by its name.
type Outcomes = BTreeMap<String, (bool, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_out_of_a_hardened_container() {
    let host = parts::docker();
    let image = parts::image("probe");
    let listening = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listening.local_addr().expect("it listens").port().to_string();
    let name = format!("synapse-sandbox-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("a socket");
    let env = [("HOST_PORT", port.as_str()), ("HOST_SOCKET", name.as_str())];

    let list = docker(&host, &["run", "--rm", &image, "/probe", "list"]);
    let attempts: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    let names: Vec<&str> = attempts.iter().map(|(name, _)| *name).collect();
    let plain = by_default(&host, &image, &env, &names);
    let hardened = within(&host, &image, &env, &names, Sandbox::Hardened).await;
    let gvisor = within(&host, &image, &env, &names, Sandbox::GVisor).await;

    let own = |name: &&str| {
        WITHIN_GVISOR
            .contains(name)
            .then(|| "its own kernel's".to_owned())
    };
    println!("| attempt | default `docker run` | hardened | gVisor |");
    println!("| --- | --- | --- | --- |");
    for (name, what) in &attempts {
        let cell = |outcomes: &Outcomes| match outcomes.get(*name) {
            Some((true, said)) => format!("**{said}**"),
            Some((false, said)) => said.clone(),
            None => "no answer".to_owned(),
        };
        println!(
            "| {what} | {} | {} | {} |",
            cell(&plain),
            cell(&hardened),
            own(name).unwrap_or_else(|| cell(&gvisor))
        );
    }
    let won = |outcomes: &Outcomes| -> Vec<String> {
        let won = outcomes.iter().filter(|(_, (won, _))| *won);
        won.map(|(name, _)| name.clone()).collect()
    };
    let mut beyond = won(&gvisor);
    beyond.retain(|name| !WITHIN_GVISOR.contains(&name.as_str()));
    println!(
        "\n{} attempts: {} succeed under the defaults, {} hardened, {} in gVisor, whose own kernel answers {} more",
        names.len(),
        won(&plain).len(),
        won(&hardened).len(),
        beyond.len(),
        WITHIN_GVISOR.len()
    );
    assert_eq!(hardened.len(), names.len(), "each attempt was made");
    assert_eq!(gvisor.len(), names.len(), "each attempt was made");
    assert!(
        won(&plain).len() > 5,
        "the attempts are real: the defaults let some through"
    );
    assert_eq!(won(&hardened), [""; 0], "hardened");
    assert_eq!(beyond, [""; 0], "in gVisor");
}

/// The attempts as `docker run` makes them.
fn by_default(host: &str, image: &str, env: &[(&str, &str)], names: &[&str]) -> Outcomes {
    let mut env: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.push(format!("ATTEMPTS={}", names.join(" ")));
    let mut words = vec!["run", "--rm", "--init"];
    for variable in &env {
        words.extend(["--env", variable]);
    }
    words.extend([image, "sh", "-c", MAKE]);
    read(&docker(host, &words))
}

/// The attempts in a container of ours; where one ends the container, the rest are made in another.
async fn within(host: &str, image: &str, env: &[(&str, &str)], names: &[&str], sandbox: Sandbox) -> Outcomes {
    let owner = Owner::new("test-sandbox").expect("a name");
    let runtime = Runtime::connect_to(host, owner).await.expect("Docker runs");
    runtime.reconcile().await.expect("it answers");
    let mut outcomes = Outcomes::new();
    loop {
        let left: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !outcomes.contains_key(*name))
            .collect();
        if left.is_empty() {
            return outcomes;
        }
        let mut spec = ContainerSpec::new(image)
            .command(["sh", "-c", MAKE])
            .env("ATTEMPTS", left.join(" "))
            .memory(256 << 20)
            .cpus(1.0)
            .processes(128)
            .sandbox(sandbox);
        for (name, value) in env {
            spec = spec.env(*name, *value);
        }
        let container = runtime.start(&spec, 0).await.expect("it starts");
        let ended = timeout(Duration::from_secs(120), container.wait()).await;
        let lines = container.last_lines(1000).await.expect("a log");
        container.remove().await.expect("it goes");
        let made = read(&lines.join("\n"));
        let next = left.iter().find(|name| !made.contains_key(**name));
        outcomes.extend(made);
        if let Some(next) = next {
            let how = match ended {
                Ok(exit) => exit.expect("Docker answers").to_string(),
                Err(_) => "it hung".to_owned(),
            };
            outcomes.insert(
                (*next).to_owned(),
                (false, format!("the container was ended: {how}")),
            );
        }
    }
}

/// What Docker's own client prints, within five minutes.
fn docker(host: &str, words: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["-k", "10", "300", "/usr/bin/docker", "--host", host])
        .args(words)
        .output()
        .expect("Docker's client is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn read(printed: &str) -> Outcomes {
    let lines = printed.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        let (outcome, said) = rest.split_once(' ')?;
        Some((name.to_owned(), (outcome == "success", said.trim().to_owned())))
    });
    lines.collect()
}
