//! The program `keys`, as operators and scripts use it.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
const PHRASE: &str = "caution juice atom organ advance problem want pledge someone senior holiday very";
const ADDRESS: &str = "5Gv8YYFu8H1btvmrJy9FjjAWfb99wrhV3uhPFoNEr918utyR";

fn keys(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keys"))
        .args(arguments)
        .args(["--passphrase-env", "KEY_PASSPHRASE"])
        .env("KEY_PASSPHRASE", PASSPHRASE)
        .env("OTHER_PASSPHRASE", "another")
        .env("RUST_LOG", "trace")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read it has gone by then.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end()
}

fn done(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = keys(folder, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn json(folder: &Path, arguments: &[&str], input: &str) -> Value {
    serde_json::from_str(&done(folder, &[arguments, &["--json"]].concat(), input)).unwrap()
}

fn failed(folder: &Path, arguments: &[&str], status: i32, code: &str) {
    let output = keys(folder, &[arguments, &["--json"]].concat(), "");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    let last = text(&output.stderr).lines().last().unwrap().to_owned();
    let failure: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(failure["error"]["code"], code, "{arguments:?}");
}

fn with_key() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        done(folder.path(), &["import", "node"], &format!("{PHRASE}\n")),
        ADDRESS
    );
    folder
}

#[test]
fn a_key_is_created_shown_exported_and_imported_elsewhere() {
    for scheme in ["sr25519", "ed25519", "secp256k1"] {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let created = json(
            one.path(),
            &["create", "node", "--scheme", scheme, "--words", "24"],
            "",
        );
        let words = created["mnemonic"].as_str().unwrap();
        assert_eq!(words.split(' ').count(), 24);
        assert_eq!(created["scheme"], scheme);
        assert_eq!(done(one.path(), &["export", "node"], ""), words);
        done(other.path(), &["import", "node", "--scheme", scheme], words);
        let shown = json(other.path(), &["show", "node"], "");
        assert_eq!(shown["address"], created["address"]);
        assert_eq!(json(one.path(), &["show", "node"], ""), shown);
    }
}

#[test]
fn new_words_are_the_only_thing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = keys(folder.path(), &["create", "node"], "");
    assert_eq!(text(&output.stdout).split(' ').count(), 12);
    assert!(text(&output.stderr).contains("keep them secret"));
    assert_eq!(done(folder.path(), &["export", "node"], ""), text(&output.stdout));
}

#[test]
fn a_seed_stays_a_seed() {
    let folder = tempfile::tempdir().unwrap();
    let seed = format!("0x{}", "07".repeat(32));
    done(
        folder.path(),
        &["import", "node/second", "--scheme", "ed25519"],
        &seed,
    );
    assert_eq!(json(folder.path(), &["export", "node/second"], "")["seed"], seed);
}

#[test]
fn what_one_key_signs_verifies_and_nothing_else_does() {
    let folder = with_key();
    let folder = folder.path();
    let signature = done(folder, &["sign", "node", "hello"], "");
    assert_eq!(
        done(folder, &["verify", ADDRESS, &signature, "hello"], ""),
        "good"
    );
    assert_eq!(done(folder, &["verify", ADDRESS, &signature], "hello"), "good");
    let piped = json(folder, &["sign", "node"], "hello\n");
    assert_eq!(piped["address"], ADDRESS);
    let piped = piped["signature"].as_str().unwrap();
    assert_eq!(done(folder, &["verify", ADDRESS, piped, "hello\n"], ""), "good");

    failed(
        folder,
        &["verify", ADDRESS, &signature, "hallo"],
        3,
        "bad_signature",
    );
    failed(
        folder,
        &["verify", "--scheme", "ed25519", ADDRESS, &signature, "hello"],
        3,
        "bad_signature",
    );
    failed(
        folder,
        &["verify", "5Gv8", &signature, "hello"],
        1,
        "malformed_address",
    );
    failed(
        folder,
        &["verify", ADDRESS, "0x07", "hello"],
        1,
        "malformed_signature",
    );
}

#[test]
fn a_rotated_key_and_a_changed_passphrase_are_the_new_ones() {
    let folder = with_key();
    let folder = folder.path();
    done(
        folder,
        &["passwd", "node", "--new-passphrase-env", "OTHER_PASSPHRASE"],
        "",
    );
    failed(folder, &["export", "node"], 4, "wrong_passphrase");

    done(folder, &["import", "next"], PHRASE);
    let rotated = json(folder, &["rotate", "next"], "");
    assert_ne!(rotated["address"], ADDRESS);
    assert_eq!(
        done(folder, &["export", "next"], ""),
        rotated["mnemonic"].as_str().unwrap()
    );
    assert!(
        folder
            .join(format!("keys/next/hotkeys/default.{ADDRESS}.json"))
            .is_file()
    );
    let old = format!("next@{ADDRESS}");
    assert_eq!(done(folder, &["export", &old], ""), PHRASE);
    assert_eq!(json(folder, &["show", &old], "")["address"], ADDRESS);
}

#[cfg(target_os = "linux")]
#[test]
fn while_it_has_a_key_the_program_writes_no_core() {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::ExitStatusExt as _,
    };

    use rustix::process::{Pid, Signal, kill_process};

    /// Aborts a program once it has said `word` on standard error, and says whether the system wrote a core of it.
    fn dumps_core(folder: &Path, script: &str, word: &str) -> bool {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -c unlimited 2>&-; {script}"), "sh"])
            .arg(env!("CARGO_BIN_EXE_keys"))
            .env("KEY_PASSPHRASE", PASSPHRASE)
            .env("RUST_LOG", "debug")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains(word)));
        kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(6), "{status}");
        status.core_dumped()
    }

    let folder = with_key();
    // It waits for the message with the key unlocked.
    let sign = r#"exec "$1" sign node --passphrase-env KEY_PASSPHRASE"#;
    if !dumps_core(folder.path(), "echo waiting >&2; exec cat", "waiting") {
        eprintln!("skipped: this system writes no core of any process");
        return;
    }
    assert!(!dumps_core(folder.path(), sign, "unlocked"));
}

#[test]
fn a_list_has_every_key_and_fails_for_one_that_cannot_be_read() {
    let folder = with_key();
    let folder = folder.path();
    let output = keys(tempfile::tempdir().unwrap().path(), &["list", "--json"], "");
    assert_eq!(text(&output.stdout), "[]");
    assert_eq!(done(folder, &["list"], ""), format!("node  sr25519    {ADDRESS}"));
    assert_eq!(json(folder, &["list"], "")[0]["name"], "node");

    fs::write(folder.join("keys/node/hotkeys/torn.json"), "{").unwrap();
    let output = keys(folder, &["list"], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), format!("node  sr25519    {ADDRESS}"));
    assert!(text(&output.stderr).contains("torn.json"));
}

#[test]
fn each_failure_has_its_status_and_code() {
    let folder = with_key();
    let folder = folder.path();
    failed(folder, &["show", "nobody"], 1, "unknown_key");
    failed(folder, &["create", "node"], 1, "key_exists");
    failed(folder, &["create", "../node"], 1, "bad_key_name");
    failed(folder, &["import", "other"], 1, "bad_mnemonic");
    let usage = keys(folder, &["create", "node", "--scheme", "rsa"], "");
    assert_eq!(usage.status.code(), Some(2));
    let none = Command::new(env!("CARGO_BIN_EXE_keys"))
        .args(["export", "node", "--json", "--passphrase-file", "nowhere"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no_passphrase"));
}

#[test]
fn no_log_holds_a_secret() {
    let folder = with_key();
    let folder = folder.path();
    let seed = "c8fa03532fb22ee1f7f6908b9c02b4e72483f0dbd66e4cd456b8f34c6230b849";
    let mut log = String::new();
    for (arguments, input) in [
        (vec!["import", "again"], PHRASE),
        (vec!["show", "node"], ""),
        (vec!["list"], ""),
        (vec!["sign", "node", "hello"], ""),
        (vec!["export", "node"], ""),
        (vec!["create", "node"], ""),
        (
            vec!["import", "wrong"],
            "caution juice atom organ advance problem want pledge someone senior very holiday",
        ),
    ] {
        log.push_str(text(&keys(folder, &arguments, input).stderr));
    }
    // What is looked for would be there: the program logs, at its most talkative.
    assert!(log.contains("unlocked"), "{log}");
    for secret in [PASSPHRASE, "horse", "caution", "juice", seed] {
        assert!(!log.contains(secret), "{log}");
    }
}
