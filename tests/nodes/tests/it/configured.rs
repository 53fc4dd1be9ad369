//! What the programs say of their options, and reading them again while they serve.

use std::{fs, path::Path, process::Output, time::Duration};

use nodes_tests::{Ending, Gateway, Node, Signal, ask, ask_whole, program};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

async fn say(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    let folder = tempfile::tempdir().unwrap();
    // Not what this machine's environment or folder says.
    let environment = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("SYNAPSE_"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder.path());
    command.output().await.unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

async fn check_pages(name: &str) {
    for (question, file) in [
        ("reference", format!("docs/reference/{name}.md")),
        ("example", format!("examples/{name}/{name}.toml")),
    ] {
        let said = say(name, &["config", question]).await;
        let stored = fs::read_to_string(repository().join(&file)).unwrap_or_default();
        assert!(
            String::from_utf8_lossy(&said.stdout) == stored,
            "{file} is not what the program says; write it anew:\n  \
             cargo run -p {name} --no-default-features -- config {question} > {file}"
        );
    }
    let file = repository().join(format!("examples/{name}/{name}.toml"));
    let checked = say(name, &["config", "check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "ok\n");
    check_help(name).await;
}

/// Every option of the reference page is in `--help` and in the example file.
async fn check_help(name: &str) {
    let help = String::from_utf8(say(name, &["--help"]).await.stdout).unwrap();
    let page = fs::read_to_string(repository().join(format!("docs/reference/{name}.md"))).unwrap();
    let example = fs::read_to_string(repository().join(format!("examples/{name}/{name}.toml"))).unwrap();
    let within = |line: &'static str| move |text: &str| text.strip_prefix(line).map(str::to_owned);
    let keys: Vec<_> = page.lines().filter_map(within("### `")).collect();
    let flags: Vec<_> = page.lines().filter_map(within("- flag: `")).collect();
    assert!(keys.len() > 20 && keys.len() == flags.len(), "{page}");
    for (key, flag) in keys.iter().zip(&flags) {
        let option = key.trim_end_matches('`').rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{option} = ")), "{key}");
        let flag = flag.split('`').next().unwrap();
        assert!(
            help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}[")),
            "{flag}"
        );
    }
}

#[tokio::test]
async fn the_validators_pages_are_what_it_says() {
    check_pages("validator").await;
}

#[tokio::test]
async fn the_miners_pages_are_what_it_says() {
    check_pages("miner").await;
}

#[tokio::test]
async fn what_is_wrong_is_told_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("validator.toml");
    fs::write(&file, "[limits]\nrequests_per_minut = 5\ntokens_per_day = 0\n").unwrap();
    for question in [&["config", "check"][..], &[]] {
        let arguments = [question, &["--config", file.to_str().unwrap()]].concat();
        let said = say("validator", &arguments).await;
        assert!(!said.status.success());
        let stderr = String::from_utf8(said.stderr)
            .unwrap()
            .replace(file.to_str().unwrap(), "FILE");
        let lines: Vec<_> = stderr.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "FILE:2:1: limits.requests_per_minut: there is no such option; did you mean limits.requests_per_minute?",
                "FILE:3:1: limits.tokens_per_day: it is 0, and takes a whole number, at least 1",
                "key.name: it is missing; say it in the file, as SYNAPSE_KEY__NAME or with --key",
            ],
            "{stderr}"
        );
    }
}

/// Waits until the node says this for the `times`th time.
async fn until_said(node: &Node, what: &str, times: usize) {
    let until = Instant::now() + Duration::from_secs(30);
    while node.stderr().matches(what).count() < times {
        assert!(
            Instant::now() < until,
            "it never says {what:?}:\n{}",
            node.stderr()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_load_drops_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("validator.toml");
    let limit = |requests: u32| format!("[limits]\nrequests_per_minute = {requests}\n");
    fs::write(&file, limit(100_000)).unwrap();
    let gateway = Gateway::start_with(2, 10, 20, |validator| {
        validator.arg(format!("--config={}", file.display()))
    })
    .await;
    let at = gateway.address();
    let load: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut complete = 0;
                for _ in 0..10 {
                    let mut reply = ask(at, "again").await.unwrap();
                    assert_eq!(reply.status(), 200);
                    assert_eq!(reply.ending().await, Ending::Complete);
                    complete += 1;
                }
                complete
            })
        })
        .collect();
    for round in 1..=3 {
        fs::write(&file, limit(100_000 + u32::try_from(round).unwrap())).unwrap();
        gateway.validator.signal(Signal::HUP);
        until_said(&gateway.validator, "was read again", round).await;
        fs::write(&file, limit(0)).unwrap();
        gateway.validator.signal(Signal::HUP);
        until_said(&gateway.validator, "stays as it was", round).await;
    }
    for asked in load {
        assert_eq!(asked.await.unwrap(), 10);
    }
    let said = gateway.validator.stderr();
    assert!(
        said.contains("limits.requests_per_minute = 100003 (was 100002)"),
        "{said}"
    );
    assert!(said.contains("it is 0, and takes a whole number"), "{said}");

    // What was read again is in force.
    fs::write(&file, limit(1)).unwrap();
    gateway.validator.signal(Signal::HUP);
    until_said(&gateway.validator, "requests_per_minute = 1 ", 1).await;
    let mut refused = false;
    for _ in 0..3 {
        refused |= ask_whole(at, "once").await.unwrap().status() == 429;
    }
    assert!(refused, "{}", gateway.validator.stderr());
}
