//! A key's secret as words.

use std::fmt;

use bip39::Language;
use pbkdf2::pbkdf2_hmac;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{Keypair, Scheme, Seed, bip32, hardening::wiped};
use crate::Error;

const ROUNDS: u32 = 2048;
/// Twenty-four of the longest words, and room for careless spaces.
const LONGEST: usize = 512;

/// A BIP-39 phrase in English. It is wiped when it is dropped, and `Debug` shows its length alone.
///
/// Its keys are those that wallets make of it: Substrate's and Bittensor's of sr25519 and ed25519, and the first account
/// of an EVM wallet (`m/44'/60'/0'/0/0`) of secp256k1.
#[derive(Clone)]
pub struct Mnemonic {
    words: Zeroizing<String>,
    entropy: Zeroizing<Vec<u8>>,
}

/// How many words a new [`Mnemonic`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WordCount {
    /// Twelve: 128 bits.
    #[default]
    Twelve,
    /// Twenty-four: 256 bits.
    TwentyFour,
}

impl Mnemonic {
    /// A new phrase of the system's randomness.
    ///
    /// # Errors
    /// `no_randomness` where the system has none.
    pub fn generate(count: WordCount) -> Result<Self, Error> {
        let bytes = match count {
            WordCount::Twelve => 16,
            WordCount::TwentyFour => 32,
        };
        let mut entropy = Zeroizing::new(vec![0; bytes]);
        super::fill_random(&mut entropy)?;
        Ok(Self::from_entropy(&entropy).expect("16 and 32 bytes make a phrase"))
    }

    /// Reads a phrase of 12, 15, 18, 21 or 24 words in lower case; how they are spaced does not matter.
    ///
    /// # Errors
    /// `bad_mnemonic`, which names a wrong word by its place alone.
    pub fn parse(phrase: &str) -> Result<Self, Error> {
        let fault = |why: String| Error::invalid("bad_mnemonic", format!("the phrase {why}"));
        if phrase.len() > LONGEST {
            return Err(fault("is too long".into()));
        }
        wiped(|| {
            bip39::Mnemonic::parse_in_normalized(Language::English, phrase)
                .map(|parsed| Self::of(&parsed))
                .map_err(|error| {
                    fault(match error {
                        bip39::Error::BadWordCount(count) => {
                            format!("has {count} words, and 12, 15, 18, 21 or 24 are wanted")
                        }
                        bip39::Error::UnknownWord(at) => {
                            format!("has a word that is in no list: number {}", at + 1)
                        }
                        _ => "has a wrong checksum: a word is another, or in another place".into(),
                    })
                })
        })
    }

    /// The words, for whoever writes them down. **Whoever sees them has the key.**
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.words
    }

    /// The key of these words.
    ///
    /// # Errors
    /// `bad_seed` in one of 2¹²⁷ phrases, of secp256k1 alone.
    pub fn keypair(&self, scheme: Scheme) -> Result<Keypair, Error> {
        self.seed_with_password(scheme, "")?.keypair(scheme)
    }

    /// The seed of these words and BIP-39's additional password, which is taken byte for byte. Import the seed where such
    /// a key goes to a keystore: words alone would be another key's.
    ///
    /// # Errors
    /// As [`keypair`](Self::keypair).
    pub fn seed_with_password(&self, scheme: Scheme, password: &str) -> Result<Seed, Error> {
        wiped(|| {
            let mut salt = Zeroizing::new(Vec::with_capacity("mnemonic".len() + password.len()));
            salt.extend_from_slice(b"mnemonic");
            salt.extend_from_slice(password.as_bytes());
            let mut stretched = Zeroizing::new([0; 64]);
            let seed = match scheme {
                // Substrate stretches the entropy where BIP-39 stretches the words, and takes the half.
                Scheme::Sr25519 | Scheme::Ed25519 => {
                    pbkdf2_hmac::<Sha512>(&self.entropy, &salt, ROUNDS, stretched.as_mut());
                    Seed::from_bytes(&stretched[..32])
                }
                Scheme::Secp256k1 => {
                    pbkdf2_hmac::<Sha512>(self.words.as_bytes(), &salt, ROUNDS, stretched.as_mut());
                    Seed::from_bytes(&*bip32::first_account(&stretched)?)
                }
            };
            Ok(seed.expect("32 bytes make a seed"))
        })
    }

    /// The phrase of these bytes, or none where their number is no phrase's.
    pub(super) fn from_entropy(entropy: &[u8]) -> Option<Self> {
        wiped(|| {
            let parsed = bip39::Mnemonic::from_entropy_in(Language::English, entropy).ok()?;
            Some(Self::of(&parsed))
        })
    }

    pub(super) fn entropy(&self) -> &[u8] {
        &self.entropy
    }

    fn of(parsed: &bip39::Mnemonic) -> Self {
        let (bytes, length) = parsed.to_entropy_array();
        let bytes = Zeroizing::new(bytes);
        // Grown, it would leave its beginning where it was before.
        let mut words = Zeroizing::new(String::with_capacity(LONGEST));
        for word in parsed.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        Self {
            words,
            entropy: Zeroizing::new(bytes[..length].to_vec()),
        }
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.words.split(' ').count();
        write!(f, "Mnemonic({count} words)")
    }
}
