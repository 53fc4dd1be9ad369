//! The keystore: what it does with keys, and the files that it refuses.

use std::{fs, path::Path};

use serde_json::Value;
use synapse_core::keys::{
    Keystore, Mnemonic, Passphrase, Scheme, SecretText, Seed, Signer, WordCount, verify,
};
use tempfile::TempDir;

const SECRET: &str = "caution juice atom organ advance problem want pledge someone senior holiday very";

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse").unwrap()
}

fn keystore() -> (TempDir, Keystore) {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(folder.path().join("keys")).unwrap();
    (folder, keystore)
}

/// A keystore with one key, and its file.
fn with_key() -> (TempDir, Keystore, std::path::PathBuf) {
    let (folder, keystore) = keystore();
    let secret = SecretText::parse(SECRET).unwrap();
    keystore
        .import("validator", Scheme::Sr25519, &secret, &passphrase())
        .unwrap();
    let file = folder.path().join("keys/validator/hotkeys/default.json");
    (folder, keystore, file)
}

fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn a_created_key_is_unlocked_and_signs_as_its_words_do() {
    for scheme in [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1] {
        let (_folder, keystore) = keystore();
        let words = keystore
            .create("validator", scheme, WordCount::TwentyFour, &passphrase())
            .unwrap();
        let keys = keystore.unlock("validator", &passphrase()).unwrap();
        let hotkey = keys.hotkey();
        assert_eq!(hotkey.scheme(), scheme);
        assert_eq!(hotkey.address(), words.keypair(scheme).unwrap().address());
        assert_eq!(hotkey.address(), keystore.show("validator").unwrap().address());
        verify(scheme, hotkey.address(), b"hello", &hotkey.sign_now(b"hello")).unwrap();
        assert_eq!(
            keystore.export("validator", &passphrase()).unwrap().reveal(),
            words.reveal()
        );
    }
}

#[test]
fn a_wallet_has_a_coldkey_and_hotkeys() {
    let (folder, keystore) = keystore();
    let secret = SecretText::from(Seed::from_hex(&format!("0x{}", "07".repeat(32))).unwrap());
    for name in ["wallet/coldkey", "wallet", "wallet/second", "another/coldkey"] {
        keystore
            .import(name, Scheme::Ed25519, &secret, &passphrase())
            .unwrap();
        assert_eq!(keystore.show(name).unwrap().name(), name);
    }
    assert_eq!(
        keystore.list().unwrap(),
        ["another/coldkey", "wallet/coldkey", "wallet", "wallet/second"]
    );
    assert_eq!(keystore.show("wallet/default").unwrap().name(), "wallet");
    // No hotkey is called so.
    let hotkeys = folder.path().join("keys/wallet/hotkeys");
    fs::copy(hotkeys.join("default.json"), hotkeys.join("coldkey.json")).unwrap();
    assert_eq!(keystore.list().unwrap().len(), 4);
    assert_eq!(
        keystore.export("wallet/second", &passphrase()).unwrap().reveal(),
        secret.reveal()
    );

    keystore.keypair("wallet/coldkey", &passphrase()).unwrap();
    assert_eq!(
        keystore
            .unlock("wallet/coldkey", &passphrase())
            .unwrap_err()
            .code(),
        "not_a_hotkey"
    );
    assert_eq!(
        keystore.unlock("another", &passphrase()).unwrap_err().code(),
        "unknown_key"
    );
}

#[test]
fn a_keystore_that_is_not_there_yet_is_empty() {
    let (folder, keystore) = keystore();
    assert!(keystore.list().unwrap().is_empty());
    assert_eq!(keystore.show("validator").unwrap_err().code(), "unknown_key");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(Keystore::open(&file).unwrap_err().code(), "not_a_directory");
}

#[test]
fn a_name_cannot_lead_elsewhere() {
    let (_folder, keystore) = keystore();
    let long = "a".repeat(65);
    for name in [
        "", "/", "a/", "/a", "..", "../a", "a/..", "a/b/c", "a.b", "a b", "a\0", "é", &long,
    ] {
        assert_eq!(
            keystore.show(name).unwrap_err().code(),
            "bad_key_name",
            "{name:?}"
        );
        let refused = keystore.create(name, Scheme::Sr25519, WordCount::Twelve, &passphrase());
        assert_eq!(refused.unwrap_err().code(), "bad_key_name", "{name:?}");
    }
}

#[test]
fn no_key_is_written_over() {
    let (_folder, keystore, file) = with_key();
    let before = fs::read(&file).unwrap();
    let created = keystore.create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase());
    assert_eq!(created.unwrap_err().code(), "key_exists");
    let other = SecretText::from(Mnemonic::generate(WordCount::Twelve).unwrap());
    let imported = keystore.import("validator", Scheme::Sr25519, &other, &passphrase());
    assert_eq!(imported.unwrap_err().code(), "key_exists");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn of_many_who_create_one_key_at_once_one_does() {
    let (_folder, keystore) = keystore();
    let made: Vec<_> = std::thread::scope(|scope| {
        let create = || keystore.create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = made.iter().filter_map(|made| made.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    let words = winners[0].keypair(Scheme::Sr25519).unwrap();
    assert_eq!(words.address(), keystore.show("validator").unwrap().address());
    assert!(
        made.iter()
            .flat_map(|made| made.as_ref().err())
            .all(|error| error.code() == "key_exists")
    );
}

#[test]
fn a_rotated_key_has_a_new_address_and_the_old_file_stays() {
    let (_folder, keystore, file) = with_key();
    let old = keystore.show("validator").unwrap();
    let before = fs::read(&file).unwrap();
    let wrong = Passphrase::new("another").unwrap();
    assert_eq!(
        keystore.rotate("validator", &wrong).unwrap_err().code(),
        "wrong_passphrase"
    );

    let words = keystore.rotate("validator", &passphrase()).unwrap();
    let new = keystore.show("validator").unwrap();
    assert_ne!(new.address(), old.address());
    assert_eq!(new.address(), words.keypair(Scheme::Sr25519).unwrap().address());
    keystore.unlock("validator", &passphrase()).unwrap();

    let kept = file.with_file_name(format!("default.{}.json", old.address()));
    assert_eq!(fs::read(kept).unwrap(), before);
    assert_eq!(keystore.list().unwrap(), ["validator"]);
}

#[test]
fn a_changed_passphrase_is_the_only_one_that_opens_the_key() {
    let (_folder, keystore, _) = with_key();
    let new = Passphrase::new("battery staple").unwrap();
    let refused = keystore.change_passphrase("validator", &new, &new).unwrap_err();
    assert_eq!(refused.code(), "wrong_passphrase");
    keystore
        .change_passphrase("validator", &passphrase(), &new)
        .unwrap();
    assert_eq!(keystore.export("validator", &new).unwrap().reveal(), SECRET);
    assert_eq!(
        keystore.unlock("validator", &passphrase()).unwrap_err().code(),
        "wrong_passphrase"
    );
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let (_folder, keystore, file) = with_key();
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() - 2 {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(
            keystore.show("validator").unwrap_err().code(),
            "keystore_truncated",
            "{length}"
        );
    }
}

#[test]
fn a_change_to_any_field_is_noticed() {
    let (_folder, keystore, file) = with_key();
    let whole = fs::read(&file).unwrap();
    let other = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let hex = |bytes: usize| Value::from("ab".repeat(bytes));
    let cases = [
        ("/header/version", 2.into(), "unsupported_version"),
        ("/header/version", "1".into(), "keystore_corrupt"),
        ("/header/scheme", "ed25519".into(), "keystore_corrupt"),
        ("/header/scheme", "rsa".into(), "keystore_corrupt"),
        ("/header/address", other.into(), "keystore_corrupt"),
        ("/header/address", "nobody".into(), "keystore_corrupt"),
        ("/header/kdf/name", "scrypt".into(), "keystore_corrupt"),
        ("/header/kdf/memory_kib", 32768.into(), "wrong_passphrase"),
        ("/header/kdf/memory_kib", 0.into(), "keystore_corrupt"),
        ("/header/kdf/iterations", 2.into(), "wrong_passphrase"),
        ("/header/kdf/iterations", 0.into(), "keystore_corrupt"),
        ("/header/kdf/lanes", 2.into(), "wrong_passphrase"),
        ("/header/kdf/salt", hex(16), "wrong_passphrase"),
        ("/header/kdf/salt", hex(15), "keystore_corrupt"),
        ("/header/cipher/name", "none".into(), "keystore_corrupt"),
        ("/header/cipher/nonce", hex(24), "keystore_corrupt"),
        ("/check", hex(32), "wrong_passphrase"),
        ("/secret", hex(33), "keystore_corrupt"),
        ("/secret", "".into(), "keystore_corrupt"),
        ("/secret", "né".into(), "keystore_corrupt"),
    ];
    for (field, value, code) in cases {
        fs::write(&file, &whole).unwrap();
        edit(&file, |file| *file.pointer_mut(field).unwrap() = value.clone());
        let refused = keystore.unlock("validator", &passphrase()).unwrap_err();
        assert_eq!(refused.code(), code, "{field} {value}");
    }
    for object in ["", "/header", "/header/kdf", "/header/cipher"] {
        fs::write(&file, &whole).unwrap();
        edit(&file, |file| file.pointer_mut(object).unwrap()["more"] = 1.into());
        assert_eq!(
            keystore.show("validator").unwrap_err().code(),
            "keystore_corrupt",
            "{object}"
        );
    }
    // How the file is spaced is nobody's business.
    fs::write(&file, &whole).unwrap();
    edit(&file, |_| {});
    keystore.unlock("validator", &passphrase()).unwrap();
}

#[test]
fn a_file_cannot_ask_for_all_memory_or_time() {
    let (_folder, keystore, file) = with_key();
    let whole = fs::read(&file).unwrap();
    for (field, most) in [("memory_kib", 1024 * 1024), ("iterations", 16), ("lanes", 16)] {
        for asked in [most + 1, u32::MAX] {
            fs::write(&file, &whole).unwrap();
            edit(&file, |file| file["header"]["kdf"][field] = asked.into());
            let refused = keystore.unlock("validator", &passphrase()).unwrap_err();
            assert_eq!(refused.code(), "keystore_corrupt", "{field} {asked}");
        }
    }
}

#[test]
fn what_is_no_keys_file_is_refused() {
    let (_folder, keystore, file) = with_key();
    let check = |content: &[u8], code: &str| {
        fs::write(&file, content).unwrap();
        assert_eq!(keystore.show("validator").unwrap_err().code(), code);
    };
    check(b"[]", "keystore_corrupt");
    check(b"not json", "keystore_corrupt");
    check(b"\xff\xfe", "keystore_corrupt");
    check(&vec![b' '; 1 << 20], "file_too_large");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(keystore.show("validator").unwrap_err().code(), "not_a_file");
}

#[test]
fn debug_and_errors_show_no_secret() {
    let (_folder, keystore, file) = with_key();
    let keys = keystore.unlock("validator", &passphrase()).unwrap();
    edit(&file, |file| file["check"] = "".into());
    let refused = keystore.unlock("validator", &passphrase()).unwrap_err();
    let shown = format!("{keystore:?} {keys:?} {:?} {refused:?} {refused}", passphrase());
    for secret in ["correct", "horse", "caution", "c8fa03"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
