//! How keys are called, and where their files are.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::Error;

pub(super) const DEFAULT_HOTKEY: &str = "default";
pub(super) const COLDKEY: &str = "coldkey";
pub(super) const HOTKEYS: &str = "hotkeys";
const LONGEST: usize = 64;

/// A key's name: `wallet`, `wallet/hotkey` or `wallet/coldkey`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    wallet: String,
    role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Coldkey,
    Hotkey(String),
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (wallet, key) = text.split_once('/').unwrap_or((text, DEFAULT_HOTKEY));
        if !is_plain(wallet) || !is_plain(key) {
            let shown: String = text.chars().take(160).collect();
            return Err(
                Error::invalid("bad_key_name", format!("{shown:?} is no name of a key")).with_hint(
                    "write WALLET, WALLET/HOTKEY or WALLET/coldkey, each of up to 64 letters, digits, - and _",
                ),
            );
        }
        let role = match key {
            COLDKEY => Role::Coldkey,
            hotkey => Role::Hotkey(hotkey.to_owned()),
        };
        Ok(Self {
            wallet: wallet.to_owned(),
            role,
        })
    }

    pub(super) fn is_coldkey(&self) -> bool {
        self.role == Role::Coldkey
    }

    pub(super) fn path(&self, keystore: &Path) -> PathBuf {
        let wallet = keystore.join(&self.wallet);
        match &self.role {
            Role::Coldkey => wallet.join("coldkey.json"),
            Role::Hotkey(hotkey) => wallet.join(HOTKEYS).join(format!("{hotkey}.json")),
        }
    }

    /// Where the key of `address` goes once another has its name; no name of a key is that of such a file.
    pub(super) fn retired_path(&self, keystore: &Path, address: &str) -> PathBuf {
        self.path(keystore).with_extension(format!("{address}.json"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Coldkey => write!(f, "{}/{COLDKEY}", self.wallet),
            Role::Hotkey(hotkey) if hotkey == DEFAULT_HOTKEY => f.write_str(&self.wallet),
            Role::Hotkey(hotkey) => write!(f, "{}/{hotkey}", self.wallet),
        }
    }
}

/// Whether a file or folder of this name is ours.
pub(super) fn is_plain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !part.is_empty() && part.len() <= LONGEST && part.bytes().all(plain)
}
