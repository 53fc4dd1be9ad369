//! Keys on disk.

mod info;
mod lock;
mod name;
mod sealed;
mod unlocked;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::{info::KeyInfo, unlocked::Keys};
use self::{lock::Lock, name::Name, sealed::Sealed};
use super::{
    Keypair, Mnemonic, Passphrase, Scheme, SecretText, WordCount,
    files::{self, Links},
    permissions::check_folder,
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
/// XChaCha20-Poly1305, which binds it to everything else in the file. It must be this user's or root's, and only its
/// owner may read it: any other is refused, as is a symbolic link, or a folder that others may write to.
///
/// No operation loses a key. One that [`rotate`](Self::rotate) retired is called by its old name and its address,
/// `WALLET/HOTKEY@ADDRESS`. Changes wait for each other, in other processes too, by a lock on the file `.lock`.
///
/// Opening a key takes a tenth of a second of one core: asynchronous callers put it on a blocking thread. Its secret is
/// in memory for as long as it is used: a program calls [`forbid_core_dumps`](crate::keys::forbid_core_dumps) first.
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
    /// `unknown_key`, `wrong_passphrase`; `insecure_permissions` and `foreign_owner`, with the command that mends them;
    /// `keystore_truncated`, `keystore_corrupt` and `unsupported_version` where the file is not as it was written, or not
    /// for this program.
    pub fn keypair(&self, name: &str, passphrase: &Passphrase) -> Result<Keypair, Error> {
        let (name, sealed) = self.load(name)?;
        let (_, keypair) = unseal(&name, &sealed, passphrase)?;
        tracing::debug!(key = %name, address = %sealed.header().address, "unlocked");
        Ok(keypair)
    }

    /// Makes a new key, and returns its words. They are shown this once; [`export`](Self::export) takes the passphrase.
    ///
    /// # Errors
    /// `key_exists`, `bad_key_name`; `file_unwritable`, `file_not_durable`, `keystore_busy`; `insecure_permissions` and
    /// `foreign_owner` of the folders.
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
        let name = Name::parse_place(name)?;
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
        self.check_folders(&path)?;
        let sealed = Sealed::seal(secret, scheme, passphrase)?;
        files::create_folder(path.parent().expect("a key's file is in a folder"))?;
        let _lock = Lock::take(&self.folder)?;
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
        let (secret, _) = unseal(&name, &sealed, passphrase)?;
        Ok(secret)
    }

    /// Says whose key it is. It takes no passphrase, and so it believes the file.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair), but for the passphrase.
    pub fn show(&self, name: &str) -> Result<KeyInfo, Error> {
        let (name, sealed) = self.load(name)?;
        Ok(KeyInfo::new(&name, sealed.header()))
    }

    /// The names of all keys but the retired ones, in order; none where there is no keystore yet.
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
                .filter(|&hotkey| hotkey != name::COLDKEY)
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

    /// Makes a new key of the same scheme in the key's place, and returns its words: twelve where the old one had twelve,
    /// else twenty-four. The old one stays, under the same passphrase and called `NAME@ADDRESS`; its file is beside the
    /// new one's, with its address in its name.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair), since the passphrase must open the old key, and as [`create`](Self::create).
    pub fn rotate(&self, name: &str, passphrase: &Passphrase) -> Result<Mnemonic, Error> {
        Name::parse_place(name)?;
        let (_lock, name, old) = self.load_to_change(name)?;
        let (secret, _) = unseal(&name, &old, passphrase)?;
        let mnemonic = Mnemonic::generate(secret.word_count())?;
        let new = Sealed::seal(&mnemonic.clone().into(), old.header().scheme, passphrase)?;
        // What is there already is the same key, under the passphrase of then: an attempt that was cut off left it, or
        // the key was imported again.
        let retired = name.retired(&old.header().address);
        files::replace(&retired.path(&self.folder), &old.to_file())?;
        files::replace(&name.path(&self.folder), &new.to_file())?;
        Ok(mnemonic)
    }

    /// Puts the key under another passphrase.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair), of the passphrase that it has, and as [`create`](Self::create).
    pub fn change_passphrase(&self, name: &str, from: &Passphrase, to: &Passphrase) -> Result<(), Error> {
        let (_lock, name, old) = self.load_to_change(name)?;
        let (secret, _) = unseal(&name, &old, from)?;
        let new = Sealed::seal(&secret, old.header().scheme, to)?;
        files::replace(&name.path(&self.folder), &new.to_file())
    }

    /// Loads a key that no other process changes while the lock lives.
    fn load_to_change(&self, name: &str) -> Result<(Lock, Name, Sealed), Error> {
        // Nobody waits for a key that there is not.
        self.show(name)?;
        let lock = Lock::take(&self.folder)?;
        let (name, sealed) = self.load(name)?;
        Ok((lock, name, sealed))
    }

    fn load(&self, name: &str) -> Result<(Name, Sealed), Error> {
        let name = Name::parse(name)?;
        let path = name.path(&self.folder);
        self.check_folders(&path)?;
        let file = files::read(&path, sealed::LONGEST, Links::Refuse)?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "unknown_key",
                format!("there is no key {name} in {}", self.folder.display()),
            )
            .with_hint("name one that there is, or create it")
        })?;
        let sealed = Sealed::from_file(&file).map_err(|error| about(&name, &error))?;
        let address = &sealed.header().address;
        if !name.suits(address) {
            let swapped = sealed::corrupt(&format!("it is that of {address}"));
            return Err(about(&name, &swapped));
        }
        Ok((name, sealed))
    }

    /// Looks at each folder from the keystore down to a key's file.
    fn check_folders(&self, path: &Path) -> Result<(), Error> {
        let mut folders = path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(&self.folder));
        folders.try_for_each(check_folder)
    }
}

fn unseal(name: &Name, sealed: &Sealed, passphrase: &Passphrase) -> Result<(SecretText, Keypair), Error> {
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
