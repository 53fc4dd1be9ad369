//! A key in its file: who it is in plain, its secret under a passphrase.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, NodeId,
    keys::{
        Keypair, Passphrase, Scheme, SecretText, Signer as _, check_address, fill_random, hardening::wiped,
        hex,
    },
};

/// The most bytes that a key's file has.
pub(super) const LONGEST: usize = 4096;
const VERSION: u32 = 1;
/// More than this no file may ask for.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_ITERATIONS: u32 = 16;
const MOST_LANES: u32 = 16;

/// What is in a key's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    header: Header,
    /// The other half of what the passphrase was stretched to: it tells a wrong passphrase from a changed secret.
    check: String,
    secret: String,
}

/// Everything that the secret is bound to.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    pub(super) scheme: Scheme,
    pub(super) address: NodeId,
    kdf: Kdf,
    cipher: Cipher,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: KdfName,
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KdfName {
    Argon2id,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: CipherName,
    nonce: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CipherName {
    XChaCha20Poly1305,
}

/// What a passphrase is stretched to.
struct Stretched {
    key: Zeroizing<[u8; 32]>,
    check: [u8; 32],
}

impl Sealed {
    /// Puts `secret`, whose key has `scheme`, under `passphrase`.
    pub(super) fn seal(secret: &SecretText, scheme: Scheme, passphrase: &Passphrase) -> Result<Self, Error> {
        let address = secret.keypair(scheme)?.address().clone();
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        fill_random(&mut salt)?;
        fill_random(&mut nonce)?;
        let header = Header {
            version: VERSION,
            scheme,
            address,
            kdf: Kdf {
                name: KdfName::Argon2id,
                memory_kib: 64 * 1024,
                iterations: 3,
                lanes: 1,
                salt: hex::encode(&salt),
            },
            cipher: Cipher {
                name: CipherName::XChaCha20Poly1305,
                nonce: hex::encode(&nonce),
            },
        };
        wiped(|| {
            let stretched = header.kdf.stretch(passphrase)?;
            let mut bytes = secret.to_bytes();
            XChaCha20Poly1305::new(&(*stretched.key).into())
                .encrypt_in_place(&nonce.into(), &header.to_bytes(), &mut *bytes)
                .expect("a secret is shorter than the cipher's limit");
            Ok(Self {
                check: hex::encode(&stretched.check),
                secret: hex::encode(&bytes),
                header,
            })
        })
    }

    /// Takes the secret out, and its key.
    ///
    /// # Errors
    /// `wrong_passphrase`, also where what the passphrase is stretched with or compared to was changed;
    /// `keystore_corrupt` where anything else in the file was.
    pub(super) fn open(&self, passphrase: &Passphrase) -> Result<(SecretText, Keypair), Error> {
        let secret = wiped(|| {
            let stretched = self.header.kdf.stretch(passphrase)?;
            if self.check != hex::encode(&stretched.check) {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "wrong_passphrase",
                    "the passphrase is wrong",
                )
                .with_hint(
                    "give the right one; if this is it, the file was changed: take it from a backup",
                ));
            }
            let nonce: [u8; 24] = unhex(&self.header.cipher.nonce)?;
            let mut bytes =
                Zeroizing::new(hex::decode(&self.secret).ok_or_else(|| corrupt("its secret is not hex"))?);
            XChaCha20Poly1305::new(&(*stretched.key).into())
                .decrypt_in_place(&XNonce::from(nonce), &self.header.to_bytes(), &mut *bytes)
                .map_err(|_| corrupt("it was changed after it was written"))?;
            SecretText::from_bytes(&bytes).ok_or_else(|| corrupt("its secret is of no known kind"))
        })?;
        let keypair = secret.keypair(self.header.scheme)?;
        if *keypair.address() != self.header.address {
            return Err(corrupt("its secret is that of another address"));
        }
        Ok((secret, keypair))
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// `keystore_truncated`, `keystore_corrupt`, `unsupported_version`.
    pub(super) fn from_file(bytes: &[u8]) -> Result<Self, Error> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
            if error.is_eof() {
                Error::invalid("keystore_truncated", "its file ends too early")
            } else {
                corrupt("it is no JSON").with_source(error)
            }
        })?;
        let version = &value["header"]["version"];
        if version
            .as_u64()
            .is_some_and(|version| version != u64::from(VERSION))
        {
            return Err(Error::unsupported(
                "unsupported_version",
                format!("its file has version {version}, and this program reads version {VERSION}"),
            )
            .with_hint("use a newer program"));
        }
        let sealed: Self = serde_json::from_value(value)
            .map_err(|error| corrupt("its fields are wrong").with_source(error))?;
        check_address(sealed.header.scheme, &sealed.header.address)
            .map_err(|error| corrupt("its address is none").with_source(error))?;
        Ok(sealed)
    }

    pub(super) fn to_file(&self) -> Vec<u8> {
        let mut file = serde_json::to_vec_pretty(self).expect("strings and numbers are JSON");
        file.push(b'\n');
        file
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }
}

impl Header {
    /// What the cipher binds the secret to: the fields in their order, however the file spaces them.
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}

impl Kdf {
    fn stretch(&self, passphrase: &Passphrase) -> Result<Stretched, Error> {
        if self.memory_kib > MOST_MEMORY_KIB || self.iterations > MOST_ITERATIONS || self.lanes > MOST_LANES {
            return Err(corrupt("it asks for more memory or time than any key needs"));
        }
        let KdfName::Argon2id = self.name;
        let params = Params::new(self.memory_kib, self.iterations, self.lanes, Some(64))
            .map_err(|_| corrupt("it asks for a key derivation that there is not"))?;
        let salt: [u8; 16] = unhex(&self.salt)?;
        let mut both = Zeroizing::new([0; 64]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, both.as_mut())
            .map_err(|_| {
                Error::internal(
                    "no_memory",
                    format!(
                        "opening the key takes {} KiB, which there are not",
                        self.memory_kib
                    ),
                )
            })?;
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&both[..32]);
        let mut check = [0; 32];
        check.copy_from_slice(&both[32..]);
        Ok(Stretched { key, check })
    }
}

fn unhex<const N: usize>(digits: &str) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    hex::decode_into(digits, &mut bytes).ok_or_else(|| corrupt("its salt or nonce is wrong"))?;
    Ok(bytes)
}

pub(super) fn corrupt(why: &str) -> Error {
    Error::invalid("keystore_corrupt", format!("its file is damaged: {why}"))
        .with_hint("take it from a backup, or import the key's phrase anew")
}
