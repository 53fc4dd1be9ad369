//! A program that is killed while it changes keys.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    process::Child,
    time::Duration,
};

use synapse_http::api_keys::{ApiKeyStore, NewApiKey};

use super::program::{ask, command, create, gateway};

/// Killed and waited for where it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Twelve times a program revokes fifteen keys and is killed with SIGKILL after some of them: each that it acknowledged is
/// revoked for the gateway that runs, at its next request, and for one that starts then; each other is so or not; and what
/// there is can be read and changed.
#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, stays) = create(folder);
    let running = gateway(folder).await;
    let store = ApiKeyStore::open(folder.join("api-keys")).unwrap();
    let (mut acknowledged, mut cut) = (0, 0);
    for round in 0..12 {
        let keys: Vec<(String, String)> = (0..15)
            .map(|_| {
                let (key, secret) = store.create(NewApiKey::for_caller("alice")).unwrap();
                (key.id().to_string(), secret.reveal().to_owned())
            })
            .collect();
        let ids = keys.iter().map(|(id, _)| id.as_str());
        let arguments: Vec<&str> = std::iter::once("revoke").chain(ids).collect();
        let mut child = Killed(command(folder, &arguments).spawn().unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut told = HashSet::new();
        for line in lines {
            told.insert(line.unwrap());
            if told.len() == 1 + round {
                // At various moments of the change that follows.
                std::thread::sleep(Duration::from_micros(u64::try_from(round).unwrap() * 131 % 1500));
                child.0.kill().unwrap();
            }
        }
        drop(child);
        acknowledged += told.len();
        cut += usize::from(told.len() < keys.len());
        let restarted = gateway(folder).await;
        for (id, secret) in &keys {
            for gateway in [running, restarted] {
                let (status, body) = ask(gateway, secret).await;
                match status {
                    401 => assert_eq!(body["error"]["code"], "revoked_api_key"),
                    _ => assert!(
                        status == 200 && !told.contains(id),
                        "{id} was revoked, and hears {status}"
                    ),
                }
            }
        }
        assert_eq!(ask(running, &stays).await.0, 200);
    }
    assert!(cut >= 9, "only {cut} of 12 were killed before they were done");
    println!("{acknowledged} of 180 were acknowledged, {cut} of 12 programs were killed in time");
}

/// A key that was printed is there, whatever became of the program.
#[tokio::test]
async fn a_key_that_was_told_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let running = gateway(folder).await;
    let mut told = Vec::new();
    for round in 0..16_u64 {
        let mut child = Killed(command(folder, &["create", "--caller", "alice"]).spawn().unwrap());
        let mut line = String::new();
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(round));
            child.0.kill().unwrap();
        }
        BufReader::new(child.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        child.0.kill().unwrap();
        drop(child);
        told.extend(line.ends_with('\n').then(|| line.trim_end().to_owned()));
        for key in &told {
            assert_eq!(ask(running, key).await.0, 200);
        }
    }
    assert!(told.len() >= 8, "{}", told.len());
    let listed = ApiKeyStore::open(folder.join("api-keys"))
        .unwrap()
        .list()
        .unwrap();
    assert!(listed.len() >= told.len() && listed.len() <= 16);
}
