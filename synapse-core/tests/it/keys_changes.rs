//! Changes to a keystore: what they keep of the old key, and what they do at once.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use synapse_core::{
    Error, NodeId,
    keys::{Keystore, Mnemonic, Passphrase, Scheme, SecretText, Seed, Signer, WordCount},
};
use tempfile::TempDir;

const ROTATE: &str = "SYNAPSE_TEST_ROTATE";
const PHRASE: &str = "caution juice atom organ advance problem want pledge someone senior holiday very";

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse").unwrap()
}

fn other() -> Passphrase {
    Passphrase::new("battery staple").unwrap()
}

fn address(words: &Mnemonic) -> NodeId {
    words.keypair(Scheme::Sr25519).unwrap().address().clone()
}

/// A keystore with one key, and the folder with its file.
fn with_key() -> (TempDir, Keystore, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(folder.path()).unwrap();
    let secret = SecretText::parse(PHRASE).unwrap();
    keystore
        .import("node", Scheme::Sr25519, &secret, &passphrase())
        .unwrap();
    let hotkeys = folder.path().join("node/hotkeys");
    (folder, keystore, hotkeys)
}

/// Whether each of these keys is the node's, or retired, and the passphrase opens it.
fn assert_kept(keystore: &Keystore, addresses: &[NodeId]) {
    let current = keystore.show("node").unwrap().address().clone();
    for address in addresses {
        let name = if *address == current {
            "node".to_owned()
        } else {
            format!("node@{address}")
        };
        let key = keystore.keypair(&name, &passphrase()).unwrap();
        assert_eq!(key.address(), address);
    }
}

#[test]
fn a_retired_key_is_called_by_its_address() {
    let (_folder, keystore, _) = with_key();
    let old = keystore.show("node").unwrap().address().clone();
    keystore.rotate("node", &passphrase()).unwrap();
    let retired = format!("node@{old}");
    assert_eq!(keystore.show(&retired).unwrap().name(), retired);
    assert_eq!(keystore.show(&retired).unwrap().address(), &old);
    assert_eq!(keystore.export(&retired, &passphrase()).unwrap().reveal(), PHRASE);
    let signer = keystore.unlock(&retired, &passphrase()).unwrap().hotkey();
    assert_eq!(signer.address(), &old);

    keystore
        .change_passphrase(&retired, &passphrase(), &other())
        .unwrap();
    keystore.keypair(&retired, &other()).unwrap();
    keystore.keypair("node", &passphrase()).unwrap();

    let secret = SecretText::parse(PHRASE).unwrap();
    for refused in [
        keystore.rotate(&retired, &other()).map(drop),
        keystore
            .import(&retired, Scheme::Sr25519, &secret, &other())
            .map(drop),
        keystore.show("node@").map(drop),
        keystore.show("node@../../else").map(drop),
        keystore.show(&format!("node@{old}@{old}")).map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), "bad_key_name");
    }
    let nobody = keystore.show("node@5Gv8").unwrap_err();
    assert_eq!(nobody.code(), "unknown_key");
}

#[test]
fn a_retired_keys_file_holds_the_key_of_its_name() {
    let (_folder, keystore, hotkeys) = with_key();
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    fs::rename(
        hotkeys.join("default.json"),
        hotkeys.join(format!("default.{alice}.json")),
    )
    .unwrap();
    let refused = keystore
        .keypair(&format!("node@{alice}"), &passphrase())
        .unwrap_err();
    assert_eq!(refused.code(), "keystore_corrupt");
}

#[test]
fn a_rotation_that_was_cut_off_is_done_again_though_the_passphrase_is_another() {
    let (_folder, keystore, hotkeys) = with_key();
    let old = keystore.show("node").unwrap().address().clone();
    // What a crash between the two files leaves.
    fs::copy(
        hotkeys.join("default.json"),
        hotkeys.join(format!("default.{old}.json")),
    )
    .unwrap();
    keystore
        .change_passphrase("node", &passphrase(), &other())
        .unwrap();
    let words = keystore.rotate("node", &other()).unwrap();
    assert_eq!(keystore.show("node").unwrap().address(), &address(&words));
    let retired = keystore.export(&format!("node@{old}"), &other()).unwrap();
    assert_eq!(retired.reveal(), PHRASE);
}

#[test]
fn a_file_that_a_crash_left_half_written_is_in_nobodys_way() {
    let (_folder, keystore, hotkeys) = with_key();
    let left = hotkeys.join(".default.json.new");
    fs::write(&left, "{").unwrap();
    assert_eq!(keystore.list().unwrap(), ["node"]);
    keystore
        .change_passphrase("node", &passphrase(), &other())
        .unwrap();
    assert!(!left.exists());

    let left = hotkeys.join(".second.json.new");
    fs::write(&left, "{").unwrap();
    keystore
        .create("node/second", Scheme::Sr25519, WordCount::Twelve, &passphrase())
        .unwrap();
    assert!(!left.exists());
}

#[test]
fn a_rotated_key_has_no_fewer_words_than_the_old_one() {
    let (_folder, keystore, _) = with_key();
    let check = |name: &str, words: usize| {
        let new = keystore.rotate(name, &passphrase()).unwrap();
        assert_eq!(new.reveal().split(' ').count(), words, "{name}");
    };
    check("node", 12);
    keystore
        .create("long", Scheme::Sr25519, WordCount::TwentyFour, &passphrase())
        .unwrap();
    check("long", 24);
    let seed = SecretText::from(Seed::from_hex(&format!("0x{}", "07".repeat(32))).unwrap());
    keystore
        .import("seed", Scheme::Ed25519, &seed, &passphrase())
        .unwrap();
    check("seed", 24);
}

#[test]
fn of_rotations_at_once_in_one_process_no_key_is_lost() {
    let (_folder, keystore, hotkeys) = with_key();
    let mut all = vec![keystore.show("node").unwrap().address().clone()];
    thread::scope(|scope| {
        let rotate = || address(&keystore.rotate("node", &passphrase()).unwrap());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(rotate)).collect();
        all.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    });
    assert_kept(&keystore, &all);
    assert_eq!(fs::read_dir(hotkeys).unwrap().count(), all.len());
}

/// Another process's part; by itself it has nothing to rotate.
#[test]
fn rotates_as_it_is_told_to() {
    let Some(folder) = std::env::var_os(ROTATE) else {
        return;
    };
    let keystore = Keystore::open(Path::new(&folder)).unwrap();
    for _ in 0..2 {
        let words = keystore.rotate("node", &passphrase()).unwrap();
        println!("\nrotated {}", address(&words));
    }
}

/// A process that rotates the key twice, and says to which addresses.
fn rotating(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keys_changes::rotates_as_it_is_told_to", "--nocapture"])
        .env(ROTATE, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(process: &mut Child) -> impl Iterator<Item = NodeId> {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("rotated ").map(NodeId::from))
}

#[test]
fn of_rotations_at_once_in_several_processes_no_key_is_lost() {
    let (folder, keystore, _) = with_key();
    let mut all = vec![keystore.show("node").unwrap().address().clone()];
    let processes: Vec<_> = (0..3).map(|_| rotating(folder.path())).collect();
    for mut process in processes {
        all.extend(said(&mut process));
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(all.len(), 7);
    assert_kept(&keystore, &all);
}

#[test]
fn a_process_that_is_killed_while_it_rotates_loses_no_key_and_leaves_no_lock() {
    let (folder, keystore, _) = with_key();
    let mut all = vec![keystore.show("node").unwrap().address().clone()];
    for _ in 0..3 {
        let mut process = rotating(folder.path());
        all.extend(said(&mut process).take(1));
        process.kill().unwrap();
        process.wait().unwrap();
        all.push(address(&keystore.rotate("node", &passphrase()).unwrap()));
    }
    assert_eq!(all.len(), 7);
    assert_kept(&keystore, &all);
}

#[test]
fn a_rotation_and_a_change_of_passphrase_at_once_are_done_one_after_the_other() {
    for _ in 0..3 {
        let (_folder, keystore, _) = with_key();
        let old = keystore.show("node").unwrap().address().clone();
        let (rotated, changed): (Result<Mnemonic, Error>, Result<(), Error>) = thread::scope(|scope| {
            let rotate = scope.spawn(|| keystore.rotate("node", &passphrase()));
            let change = scope.spawn(|| keystore.change_passphrase("node", &passphrase(), &other()));
            (rotate.join().unwrap(), change.join().unwrap())
        });
        changed.unwrap();
        let key = keystore.keypair("node", &other()).unwrap();
        match rotated {
            Ok(words) => {
                assert_eq!(key.address(), &address(&words));
                let retired = format!("node@{old}");
                keystore.keypair(&retired, &passphrase()).unwrap();
            }
            Err(late) => {
                assert_eq!(late.code(), "wrong_passphrase");
                assert_eq!(key.address(), &old);
            }
        }
    }
}

#[test]
fn a_change_waits_for_the_one_before_it_but_not_for_ever() {
    let (folder, keystore, _) = with_key();
    let lock = File::create(folder.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    // Reading waits for nobody.
    keystore.keypair("node", &passphrase()).unwrap();
    let refused = keystore.rotate("node", &passphrase()).unwrap_err();
    assert_eq!(refused.code(), "keystore_busy");
    drop(lock);
    keystore.rotate("node", &passphrase()).unwrap();
}
