//! Keys on disk.

mod info;
mod name;
mod sealed;
mod unlocked;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::{info::KeyInfo, unlocked::Keys};
use self::{name::Name, sealed::Sealed};
use super::{
    Keypair, Mnemonic, Passphrase, Scheme, SecretText, WordCount,
    files::{self, Links},
    hardening,
};
use crate::{Error, ErrorKind};

/// A directory of named keys, each in a file of its own under a passphrase of its own.
///
/// A *wallet* has a coldkey, which owns a balance and stays off the nodes, and hotkeys, one a node, which sign. A key is
/// called `WALLET/coldkey`, `WALLET/HOTKEY`, or `WALLET` alone, which is the hotkey `default`. A machine needs no more
/// than its own hotkey's file:
///
/// ```text
/// keys/validator/coldkey.json
/// keys/validator/hotkeys/default.json
/// ```
///
/// A file says in plain whose key it is, and holds the secret under argon2id (64 MiB, three passes) and
/// XChaCha20-Poly1305, which binds it to everything else in the file. Only its owner may read it: any other is refused,
/// as is a symbolic link. No operation writes over a key.
///
/// Opening a key takes a tenth of a second of one core: asynchronous callers put it on a blocking thread. From then on
/// the process writes no core dump, since a key's secret is in memory for as long as the key is used.
///
/// ```
/// use synapse_core::keys::{Keystore, Passphrase, Scheme, Signer, WordCount};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("keys");
/// let passphrase = Passphrase::new("correct horse battery staple")?;
/// let keystore = Keystore::open(folder)?;
/// let words = keystore.create("validator", Scheme::Sr25519, WordCount::Twelve, &passphrase)?;
/// assert_eq!(words.reveal().split(' ').count(), 12);
///
/// let keys = keystore.unlock("validator", &passphrase)?;
/// assert_eq!(keys.hotkey().address(), keystore.show("validator")?.address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Keystore {
    folder: PathBuf,
}

impl Keystore {
    /// Opens the keystore in `folder`, which need not exist before the first key does.
    ///
    /// # Errors
    /// `not_a_directory`.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        if fs::metadata(&folder).is_ok_and(|found| !found.is_dir()) {
            return Err(Error::invalid(
                "not_a_directory",
                format!("the keystore {} is no directory", folder.display()),
            ));
        }
        Ok(Self { folder })
    }

    /// Unlocks the hotkey `name`, for a node to sign with.
    ///
    /// # Errors
    /// `not_a_hotkey` for a coldkey, and those of [`keypair`](Self::keypair).
    pub fn unlock(&self, name: &str, passphrase: &Passphrase) -> Result<Keys, Error> {
        if Name::parse(name)?.is_coldkey() {
            return Err(Error::invalid(
                "not_a_hotkey",
                format!("{name} is a coldkey, and a node signs with a hotkey"),
            )
            .with_hint("name a hotkey: WALLET or WALLET/HOTKEY"));
        }
        self.keypair(name, passphrase).map(Keys::new)
    }

    /// Unlocks any key, a coldkey too.
    ///
    /// # Errors
    /// `unknown_key`, `wrong_passphrase`, `insecure_permissions` with the command that mends them; `keystore_truncated`,
    /// `keystore_corrupt` and `unsupported_version` where the file is not as it was written, or not for this program.
    pub fn keypair(&self, name: &str, passphrase: &Passphrase) -> Result<Keypair, Error> {
        let (name, sealed) = self.load(name)?;
        let keypair = unseal(&name, &sealed, passphrase)?.keypair(sealed.header().scheme)?;
        tracing::debug!(key = %name, address = %sealed.header().address, "unlocked");
        Ok(keypair)
    }

    /// Makes a new key, and returns its words. They are shown this once; [`export`](Self::export) takes the passphrase.
    ///
    /// # Errors
    /// `key_exists`, `bad_key_name`, `file_unwritable`.
    pub fn create(
        &self,
        name: &str,
        scheme: Scheme,
        words: WordCount,
        passphrase: &Passphrase,
    ) -> Result<Mnemonic, Error> {
        let mnemonic = Mnemonic::generate(words)?;
        self.import(name, scheme, &mnemonic.clone().into(), passphrase)?;
        Ok(mnemonic)
    }

    /// Takes in a key that exists elsewhere.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `bad_seed`.
    pub fn import(
        &self,
        name: &str,
        scheme: Scheme,
        secret: &SecretText,
        passphrase: &Passphrase,
    ) -> Result<KeyInfo, Error> {
        let name = Name::parse(name)?;
        let path = name.path(&self.folder);
        // Said before a second goes by, and again when the file is written.
        let exists = || {
            Error::invalid(
                "key_exists",
                format!("there is a key {name} in {}", self.folder.display()),
            )
            .with_hint("choose another name, or rotate it")
        };
        if path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        hardening::forbid_core_dumps();
        let sealed = Sealed::seal(secret, scheme, passphrase)?;
        files::create_folder(path.parent().expect("a key's file is in a folder"))?;
        if !files::create(&path, &sealed.to_file())? {
            return Err(exists());
        }
        Ok(KeyInfo::new(&name, sealed.header()))
    }

    /// Reveals what the key is made of again.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair).
    pub fn export(&self, name: &str, passphrase: &Passphrase) -> Result<SecretText, Error> {
        let (name, sealed) = self.load(name)?;
        unseal(&name, &sealed, passphrase)
    }

    /// Says whose key it is. It takes no passphrase, and so it believes the file.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair), but for the passphrase.
    pub fn show(&self, name: &str) -> Result<KeyInfo, Error> {
        let (name, sealed) = self.load(name)?;
        Ok(KeyInfo::new(&name, sealed.header()))
    }

    /// The names of all keys, in order; none where there is no keystore yet.
    ///
    /// # Errors
    /// `file_unreadable`.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for wallet in entries(&self.folder)?
            .iter()
            .filter(|wallet| name::is_plain(wallet))
        {
            let folder = self.folder.join(wallet);
            let coldkey = folder
                .join("coldkey.json")
                .is_file()
                .then(|| name::COLDKEY.to_owned());
            let hotkeys = entries(&folder.join(name::HOTKEYS))?;
            let hotkeys = hotkeys
                .iter()
                .filter_map(|file| file.strip_suffix(".json"))
                .map(str::to_owned);
            let keys = coldkey
                .into_iter()
                .chain(hotkeys)
                .filter(|key| name::is_plain(key));
            for key in keys {
                names.push(Name::parse(&format!("{wallet}/{key}"))?);
            }
        }
        names.sort();
        Ok(names.iter().map(ToString::to_string).collect())
    }

    /// Makes a new key of the same scheme in the key's place, and returns its words. The old one's file stays beside it,
    /// with its address in its name, under the same passphrase.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair): the passphrase must open the old key.
    pub fn rotate(&self, name: &str, passphrase: &Passphrase) -> Result<Mnemonic, Error> {
        let (name, old) = self.load(name)?;
        unseal(&name, &old, passphrase)?;
        let mnemonic = Mnemonic::generate(WordCount::default())?;
        let new = Sealed::seal(&mnemonic.clone().into(), old.header().scheme, passphrase)?;
        let retired = name.retired_path(&self.folder, old.header().address.as_str());
        let file = old.to_file();
        // An attempt that was cut off left it there, which is as good.
        let there = || files::read(&retired, sealed::LONGEST, Links::Refuse);
        if !files::create(&retired, &file)? && there()?.is_none_or(|there| *there != file) {
            return Err(
                Error::invalid("key_exists", format!("{} is another file", retired.display()))
                    .with_hint("move it elsewhere"),
            );
        }
        files::replace(&name.path(&self.folder), &new.to_file())?;
        Ok(mnemonic)
    }

    /// Puts the key under another passphrase.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair), of the passphrase that it has.
    pub fn change_passphrase(&self, name: &str, from: &Passphrase, to: &Passphrase) -> Result<(), Error> {
        let (name, old) = self.load(name)?;
        let secret = unseal(&name, &old, from)?;
        let new = Sealed::seal(&secret, old.header().scheme, to)?;
        files::replace(&name.path(&self.folder), &new.to_file())
    }

    fn load(&self, name: &str) -> Result<(Name, Sealed), Error> {
        let name = Name::parse(name)?;
        let path = name.path(&self.folder);
        let file = files::read(&path, sealed::LONGEST, Links::Refuse)?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "unknown_key",
                format!("there is no key {name} in {}", self.folder.display()),
            )
            .with_hint("name one that there is, or create it")
        })?;
        let sealed = Sealed::from_file(&file).map_err(|error| about(&name, &error))?;
        Ok((name, sealed))
    }
}

fn unseal(name: &Name, sealed: &Sealed, passphrase: &Passphrase) -> Result<SecretText, Error> {
    hardening::forbid_core_dumps();
    sealed.open(passphrase).map_err(|error| about(name, &error))
}

/// The same error, which says of which key.
fn about(name: &Name, error: &Error) -> Error {
    let message = format!("the key {name} could not be read: {}", error.message());
    let mut named = Error::new(error.kind(), error.code().to_owned(), message).with_source(error.clone());
    if let Some(hint) = error.hint() {
        named = named.with_hint(hint.to_owned());
    }
    named
}

/// What is in a folder, in order; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<String>, Error> {
    let read = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    };
    match read() {
        Ok(names) => Ok(names),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(Error::new(
            ErrorKind::Forbidden,
            "file_unreadable",
            format!("{} could not be read", folder.display()),
        )
        .with_source(error)),
    }
}
