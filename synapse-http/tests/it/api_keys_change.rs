//! Keys that change while a gateway runs, and files that are not what they should be.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_core::{KeyId, testkit::Echo};
use synapse_http::{
    api_keys::{ApiKeyStore, ApiKeysLayer, NewApiKey},
    router,
};

use super::{
    api_keys::{Gateway, bearer},
    server::{PATIENCE, chat, start},
};

fn alice() -> NewApiKey {
    NewApiKey::for_caller("alice")
}

#[tokio::test]
async fn what_changes_counts_from_the_next_request_on() {
    let gateway = Gateway::start().await;
    let (_, stays) = gateway.key(alice());
    for _ in 0..50 {
        let (id, header) = gateway.key(alice());
        assert_eq!(gateway.heard(&header).await.0, 200, "made");
        gateway.store.revoke(&id).unwrap();
        assert_eq!(gateway.heard(&header).await, (401, "revoked_api_key".into()));
        assert_eq!(gateway.heard(&stays).await.0, 200);
    }
}

#[tokio::test]
async fn a_file_of_before_brings_no_key_back() {
    let gateway = Gateway::start().await;
    let place = gateway.store.directory().to_owned();
    let (id, header) = gateway.key(alice());
    let before = fs::read(place.join("keys.json")).unwrap();
    gateway.store.revoke(&id).unwrap();
    let after = fs::read(place.join("keys.json")).unwrap();
    let revoked = fs::read(place.join("revoked")).unwrap();
    let is_revoked = async |what: &str| {
        let again = start(router(Echo::new()).layer(ApiKeysLayer::open(&place).unwrap())).await;
        let reply = again
            .post_with("/v1/chat/completions", &header, chat(false).as_bytes())
            .await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "revoked_api_key"),
            "{what}, after a restart"
        );
        assert_eq!(
            gateway.heard(&header).await,
            (401, "revoked_api_key".into()),
            "{what}"
        );
        assert!(gateway.store.show(&id).unwrap().revoked().is_some(), "{what}");
    };
    is_revoked("as it is").await;
    fs::remove_file(place.join("revoked")).unwrap();
    is_revoked("the keys alone say so").await;
    fs::write(place.join("revoked"), &revoked).unwrap();
    fs::write(place.join("keys.json"), &before).unwrap();
    is_revoked("the keys of before").await;
    // A change writes down in both files what either says.
    gateway.key(alice());
    fs::remove_file(place.join("revoked")).unwrap();
    is_revoked("nothing said to be revoked").await;

    fs::write(place.join("keys.json"), &before).unwrap();
    assert_eq!(
        gateway.heard(&header).await,
        (401, "revoked_api_key".into()),
        "it was seen to be revoked"
    );
    fs::write(place.join("revoked"), revoked).unwrap();
    fs::write(place.join("keys.json"), after).unwrap();
    is_revoked("all as it was").await;
}

#[tokio::test]
async fn while_the_keys_cannot_be_read_nobody_is_let_in() {
    let gateway = Gateway::start().await;
    let place = gateway.store.directory().to_owned();
    let (_, header) = gateway.key(alice());
    let good = fs::read(place.join("keys.json")).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let half = text[..text.len() / 2].to_owned();
    for (bytes, code) in [
        (Some(half), "api_keys_malformed"),
        (Some(String::new()), "api_keys_malformed"),
        (
            Some(text.replace("\"format\": 1", "\"format\": 2")),
            "api_keys_malformed",
        ),
        (
            Some(
                text.replace("\"note\"", "\"nota\"")
                    .replace("\"caller\"", "\"called\""),
            ),
            "api_keys_malformed",
        ),
        (None, "api_keys_unreadable"),
    ] {
        match bytes {
            Some(bytes) => fs::write(place.join("keys.json"), bytes).unwrap(),
            None => fs::remove_file(place.join("keys.json")).unwrap(),
        }
        for _ in 0..3 {
            let reply = gateway.ask(&header).await;
            assert_eq!((reply.status, reply.code().as_str()), (503, code));
            assert_eq!(reply.header("retry-after"), Some("5"));
            assert!(
                !reply.text().contains(place.to_str().unwrap()),
                "where it is is the operator's"
            );
        }
        if code == "api_keys_malformed" {
            assert_eq!(gateway.store.list().unwrap_err().code(), code);
            assert_eq!(ApiKeysLayer::open(&place).unwrap_err().code(), code);
        }
        fs::write(place.join("keys.json"), &good).unwrap();
        assert_eq!(
            gateway.heard(&header).await.0,
            200,
            "once it can, it is as before"
        );
    }
    fs::write(place.join("revoked"), "what is this\n").unwrap();
    assert_eq!(gateway.heard(&header).await.0, 503);
    fs::remove_file(place.join("revoked")).unwrap();
    assert_eq!(gateway.heard(&header).await.0, 200);
}

#[cfg(unix)]
#[test]
fn files_are_their_owners_alone_and_hold_no_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("api-keys");
    let store = ApiKeyStore::open(&place).unwrap();
    let (key, secret) = store.create(alice().note("for tests")).unwrap();
    store.revoke(key.id()).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for file in ["keys.json", "revoked"] {
        assert_eq!(mode(&place.join(file)), 0o600, "{file}");
        let text = fs::read_to_string(place.join(file)).unwrap();
        assert!(!text.contains(&secret.reveal()[7..]), "{file}");
    }
    assert!(!format!("{store:?} {key:?} {secret:?} {:?}", store.list()).contains(&secret.reveal()[7..]));

    fs::set_permissions(place.join("keys.json"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(
        store.list().unwrap_err().code(),
        "api_keys_unreadable",
        "others could let themselves in"
    );
    fs::set_permissions(place.join("keys.json"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(store.list().unwrap_err().code(), "api_keys_unreadable");
}

#[test]
fn what_makes_no_sense_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = ApiKeyStore::open(folder.path()).unwrap();
    let long = "a".repeat(65);
    let past = std::time::SystemTime::now() - Duration::from_secs(1);
    let mut nothing = synapse_core::Allowance::default();
    nothing.tokens_per_day = Some(0);
    for (new, code) in [
        (NewApiKey::for_caller(""), "invalid_caller"),
        (NewApiKey::for_caller("ip:127.0.0.1"), "invalid_caller"),
        (NewApiKey::for_caller("two words"), "invalid_caller"),
        (NewApiKey::for_caller("=cmd()"), "invalid_caller"),
        (NewApiKey::for_caller(long), "invalid_caller"),
        (alice().models([""]), "invalid_model"),
        (alice().models(["a\nb"]), "invalid_model"),
        (alice().models([""; 0]), "invalid_model"),
        (alice().note("a\nb"), "invalid_note"),
        (alice().note("a".repeat(257)), "invalid_note"),
        (alice().expires(past), "invalid_expiry"),
        (alice().allowance(nothing), "invalid_allowance"),
    ] {
        let shown = format!("{new:?}");
        assert_eq!(store.create(new).map(drop).unwrap_err().code(), code, "{shown}");
    }
    assert!(store.list().unwrap().is_empty());
    let unknown = KeyId::from("key-0123456789abcdef");
    assert_eq!(store.revoke(&unknown).unwrap_err().code(), "unknown_api_key");
    assert_eq!(store.show(&unknown).unwrap_err().code(), "unknown_api_key");
}

/// 30 clients ask without a pause while keys are made and revoked: a key that stays is never refused, one that is revoked
/// never let in again, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_clients_ask_while_keys_change() {
    let gateway = Arc::new(Gateway::start().await);
    let (_, stays) = gateway.key(alice());
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let (gateway, stays, over, asked) = (gateway.clone(), stays.clone(), over.clone(), asked.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(gateway.heard(&stays).await, (200, String::new()));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let store = gateway.store.clone();
    let mut gone = Vec::new();
    while gone.len() < 25 || asked.load(Ordering::Relaxed) < 300 {
        let changing = store.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let (key, secret) = changing.create(alice()).unwrap();
            changing.revoke(key.id()).unwrap();
            bearer(secret.reveal())
        });
        let header = tokio::time::timeout(PATIENCE * 4, changed)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(gateway.heard(&header).await.1, "revoked_api_key");
        gone.push(header);
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    for header in gone.iter().take(10) {
        assert_eq!(gateway.heard(header).await.1, "revoked_api_key");
    }
}

#[test]
fn many_change_one_directory_at_once_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<KeyId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let store = ApiKeyStore::open(folder.path()).unwrap();
                    let ids: Vec<_> = (0..5)
                        .map(|_| store.create(alice()).unwrap().0.id().clone())
                        .collect();
                    store.revoke(&ids[0]).unwrap();
                    ids
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let listed = ApiKeyStore::open(folder.path()).unwrap().list().unwrap();
    assert_eq!(listed.len(), 40);
    assert!(made.iter().all(|id| listed.iter().any(|key| key.id() == id)));
    assert_eq!(listed.iter().filter(|key| key.revoked().is_some()).count(), 8);
}
