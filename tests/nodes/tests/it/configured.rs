//! What the programs say of their options.

use std::{fs, path::Path, process::Output};

use nodes_tests::program;
use tokio::process::Command;

pub(crate) async fn say(name: &str, arguments: &[&str]) -> Output {
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
