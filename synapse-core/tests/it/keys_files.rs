//! Who may read a secret's file, and where passphrases come from.

use std::fs;

use synapse_core::keys::{Keystore, Passphrase, Scheme, WordCount};

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse").unwrap()
}

#[cfg(unix)]
mod unix {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, chown, symlink},
        path::Path,
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_the_owner_may_read_a_key_and_nothing_else_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path().join("keys")).unwrap();
        keystore
            .create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        keystore.rotate("validator", &passphrase()).unwrap();
        for path in ["keys", "keys/validator", "keys/validator/hotkeys"] {
            assert_eq!(mode(&folder.path().join(path)), 0o700, "{path}");
        }
        let files: Vec<_> = fs::read_dir(folder.path().join("keys/validator/hotkeys"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|file| mode(file) == 0o600));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::Builder::new().prefix("it's ").tempdir().unwrap();
        let keystore = Keystore::open(folder.path()).unwrap();
        keystore
            .create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        let key = folder.path().join("validator/hotkeys/default.json");
        let secret = folder.path().join("passphrase");
        fs::write(&secret, "correct horse").unwrap();
        for wrong in [0o640, 0o604, 0o620, 0o660, 0o644, 0o777] {
            set_mode(&key, wrong);
            set_mode(&secret, wrong);
            for (path, refused) in [
                (
                    &key,
                    keystore.unlock("validator", &passphrase()).map(drop).unwrap_err(),
                ),
                (&key, keystore.show("validator").map(drop).unwrap_err()),
                (&secret, Passphrase::from_file(&secret).map(drop).unwrap_err()),
            ] {
                assert_eq!(refused.code(), "insecure_permissions", "{wrong:o}");
                let command = refused.hint().unwrap().strip_prefix("run: ").unwrap();
                assert!(command.starts_with("chmod 600 "), "{command}");
                let ran = std::process::Command::new("sh")
                    .args(["-c", command])
                    .status()
                    .unwrap();
                assert!(ran.success());
                assert_eq!(mode(path), 0o600);
                set_mode(path, wrong);
            }
        }
        for right in [0o600, 0o400] {
            set_mode(&key, right);
            set_mode(&secret, right);
            keystore
                .unlock("validator", &Passphrase::from_file(&secret).unwrap())
                .unwrap();
        }
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path().join("keys")).unwrap();
        let create = |name: &str| keystore.create(name, Scheme::Sr25519, WordCount::Twelve, &passphrase());
        create("validator").unwrap();
        for path in ["keys", "keys/validator", "keys/validator/hotkeys"] {
            let path = folder.path().join(path);
            for wrong in [0o720, 0o702, 0o777] {
                set_mode(&path, wrong);
                for refused in [
                    keystore.show("validator").map(drop).unwrap_err(),
                    create("validator/second").map(drop).unwrap_err(),
                ] {
                    set_mode(&path, wrong);
                    assert_eq!(refused.code(), "insecure_permissions", "{wrong:o}");
                    let command = refused.hint().unwrap().strip_prefix("run: ").unwrap();
                    let ran = std::process::Command::new("sh").args(["-c", command]).status();
                    assert!(ran.unwrap().success(), "{command}");
                    keystore.show("validator").unwrap();
                }
            }
            set_mode(&path, 0o755);
            keystore.show("validator").unwrap();
        }
    }

    #[test]
    fn what_another_user_owns_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path().join("keys")).unwrap();
        keystore
            .create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        let wallet = folder.path().join("keys/validator");
        let secret = folder.path().join("passphrase");
        fs::write(&secret, "correct horse").unwrap();
        set_mode(&secret, 0o600);
        if chown(&secret, Some(12345), None).is_err() {
            eprintln!("skipped: only root can give a file to another user");
            return;
        }
        let refused = Passphrase::from_file(&secret).unwrap_err();
        assert_eq!(refused.code(), "foreign_owner");
        for path in [wallet.join("hotkeys/default.json"), wallet] {
            chown(&path, Some(12345), None).unwrap();
            let refused = keystore.unlock("validator", &passphrase()).unwrap_err();
            assert_eq!(refused.code(), "foreign_owner");
            chown(&path, Some(0), None).unwrap();
            keystore.unlock("validator", &passphrase()).unwrap();
        }
    }

    #[test]
    fn a_link_or_a_pipe_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path()).unwrap();
        keystore
            .create("real", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        let hotkeys = folder.path().join("real/hotkeys");
        symlink(hotkeys.join("default.json"), hotkeys.join("linked.json")).unwrap();
        symlink(hotkeys.join("nowhere"), hotkeys.join("dangling.json")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            hotkeys.join("piped.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        for name in ["real/linked", "real/dangling", "real/piped"] {
            assert_eq!(keystore.show(name).unwrap_err().code(), "not_a_file", "{name}");
            let created = keystore.create(name, Scheme::Sr25519, WordCount::Twelve, &passphrase());
            assert_eq!(created.unwrap_err().code(), "key_exists", "{name}");
        }
    }

    #[test]
    fn a_passphrase_file_may_be_behind_a_link_as_mounted_secrets_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "correct horse\n").unwrap();
        set_mode(&file, 0o400);
        symlink(&file, folder.path().join("link")).unwrap();
        Passphrase::from_file(folder.path().join("link")).unwrap();
        assert_eq!(
            Passphrase::from_file(folder.path()).unwrap_err().code(),
            "not_a_file"
        );
    }

    #[test]
    fn one_line_end_is_left_out_of_a_passphrase_file() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path()).unwrap();
        keystore
            .create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        let file = folder.path().join("passphrase");
        let read = |content: &[u8]| {
            fs::write(&file, content).unwrap();
            set_mode(&file, 0o600);
            Passphrase::from_file(&file)
        };
        for same in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            keystore
                .unlock("validator", &read(same.as_bytes()).unwrap())
                .unwrap();
        }
        for other in ["correct horse\n\n", "correct horse ", "correct\nhorse\n"] {
            let refused = keystore
                .unlock("validator", &read(other.as_bytes()).unwrap())
                .unwrap_err();
            assert_eq!(refused.code(), "wrong_passphrase", "{other:?}");
        }
        let check = |content: &[u8], code: &str| assert_eq!(read(content).unwrap_err().code(), code);
        check(b"", "empty_passphrase");
        check(b"\n", "empty_passphrase");
        check(b"\xff", "no_passphrase");
        check(&[b'a'; 1025], "passphrase_too_long");
        check(&vec![b'a'; 1 << 20], "file_too_large");
    }
}

#[test]
fn a_passphrase_is_neither_empty_nor_endless() {
    assert_eq!(Passphrase::new("").unwrap_err().code(), "empty_passphrase");
    Passphrase::new("a".repeat(Passphrase::LONGEST)).unwrap();
    let refused = Passphrase::new("a".repeat(Passphrase::LONGEST + 1)).unwrap_err();
    assert_eq!(refused.code(), "passphrase_too_long");
    assert_eq!(
        Passphrase::from_file("no/such/file").unwrap_err().code(),
        "no_passphrase"
    );
    assert_eq!(
        Passphrase::from_env("NO_SUCH_VARIABLE").unwrap_err().code(),
        "no_passphrase"
    );
    assert!(Passphrase::from_env("PATH").is_ok());
}

#[test]
fn a_keystore_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the wallet's folder would be.
    fs::write(folder.path().join("validator"), "").unwrap();
    let keystore = Keystore::open(folder.path()).unwrap();
    let created = keystore.create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase());
    assert_eq!(created.unwrap_err().code(), "file_unwritable");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_key_as_it_was() {
    crate::full_disk::with("keys_files::a_full_disk_leaves_the_key_as_it_was", |disk| {
        let keystore = Keystore::open(disk.path().join("keys")).unwrap();
        keystore
            .create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase())
            .unwrap();
        let before = keystore.show("validator").unwrap();
        disk.fill();
        let other = Passphrase::new("other").unwrap();
        for refused in [
            keystore.rotate("validator", &passphrase()).map(drop).unwrap_err(),
            keystore
                .change_passphrase("validator", &passphrase(), &other)
                .unwrap_err(),
        ] {
            assert_eq!(refused.code(), "file_unwritable");
            assert!(refused.message().contains("the disk is full"), "{refused}");
        }
        keystore.unlock("validator", &passphrase()).unwrap();
        assert_eq!(keystore.show("validator").unwrap(), before);
        let left = fs::read_dir(disk.path().join("keys/validator/hotkeys"))
            .unwrap()
            .count();
        assert_eq!(left, 1);
    });
}
