//! How keys are called, and where their files are.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{Error, NodeId};

pub(super) const DEFAULT_HOTKEY: &str = "default";
pub(super) const COLDKEY: &str = "coldkey";
pub(super) const HOTKEYS: &str = "hotkeys";
const LONGEST: usize = 64;

/// A key's name: `wallet`, `wallet/hotkey` or `wallet/coldkey`, and `@address` behind it once another key has that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    wallet: String,
    role: Role,
    retired: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Coldkey,
    Hotkey(String),
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (name, retired) = match text.split_once('@') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        let (wallet, key) = name.split_once('/').unwrap_or((name, DEFAULT_HOTKEY));
        if !is_plain(wallet) || !is_plain(key) || retired.is_some_and(|address| !is_plain(address)) {
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
            retired: retired.map(str::to_owned),
        })
    }

    /// As [`parse`](Self::parse), but for a key that a change gives a place: no retired one.
    pub(super) fn parse_place(text: &str) -> Result<Self, Error> {
        let name = Self::parse(text)?;
        if name.retired.is_none() {
            return Ok(name);
        }
        Err(
            Error::invalid("bad_key_name", format!("{name} is the name of a retired key"))
                .with_hint("leave out the @ and what follows it"),
        )
    }

    pub(super) fn is_coldkey(&self) -> bool {
        self.role == Role::Coldkey
    }

    pub(super) fn path(&self, keystore: &Path) -> PathBuf {
        let wallet = keystore.join(&self.wallet);
        let path = match &self.role {
            Role::Coldkey => wallet.join("coldkey.json"),
            Role::Hotkey(hotkey) => wallet.join(HOTKEYS).join(format!("{hotkey}.json")),
        };
        match &self.retired {
            Some(address) => path.with_extension(format!("{address}.json")),
            None => path,
        }
    }

    /// What the key of `address` is called once another has its name.
    pub(super) fn retired(&self, address: &NodeId) -> Self {
        Self {
            retired: Some(address.to_string()),
            ..self.clone()
        }
    }

    /// Whether a key of `address` can have this name.
    pub(super) fn suits(&self, address: &NodeId) -> bool {
        self.retired
            .as_deref()
            .is_none_or(|named| named == address.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Coldkey => write!(f, "{}/{COLDKEY}", self.wallet)?,
            Role::Hotkey(hotkey) if hotkey == DEFAULT_HOTKEY => f.write_str(&self.wallet)?,
            Role::Hotkey(hotkey) => write!(f, "{}/{hotkey}", self.wallet)?,
        }
        match &self.retired {
            Some(address) => write!(f, "@{address}"),
            None => Ok(()),
        }
    }
}

/// Whether a file or folder of this name is ours.
pub(super) fn is_plain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !part.is_empty() && part.len() <= LONGEST && part.bytes().all(plain)
}
