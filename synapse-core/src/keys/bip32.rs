//! From a BIP-39 seed to the first account of an EVM wallet: BIP-32 along BIP-44's `m/44'/60'/0'/0/0`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::{NonZeroScalar, SecretKey, elliptic_curve::sec1::ToSec1Point as _};
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::Error;

const HARDENED: u32 = 1 << 31;
const FIRST_ACCOUNT: [u32; 5] = [44 | HARDENED, 60 | HARDENED, HARDENED, 0, 0];

/// A secret key and its chain code.
struct Node {
    secret: SecretKey,
    chain: Zeroizing<[u8; 32]>,
}

/// The secret key of the first account.
pub(super) fn first_account(seed: &[u8; 64]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let (secret, chain) = mac(b"Bitcoin seed", &[seed]);
    let mut node = Node {
        secret: SecretKey::from_slice(secret.as_ref()).map_err(|_| unlucky())?,
        chain,
    };
    for index in FIRST_ACCOUNT {
        node = node.child(index)?;
    }
    Ok(Zeroizing::new(node.secret.to_bytes().into()))
}

impl Node {
    fn child(&self, index: u32) -> Result<Self, Error> {
        let last = index.to_be_bytes();
        let (step, chain) = if index & HARDENED == 0 {
            let public = self.secret.public_key().to_sec1_point(true);
            mac(self.chain.as_ref(), &[public.as_bytes(), &last])
        } else {
            let secret = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
            mac(self.chain.as_ref(), &[&[0], secret.as_ref(), &last])
        };
        let step = SecretKey::from_slice(step.as_ref()).map_err(|_| unlucky())?;
        let sum = *self.secret.to_nonzero_scalar() + *step.to_nonzero_scalar();
        let sum = NonZeroScalar::new(sum).into_option().ok_or_else(unlucky)?;
        Ok(Self {
            secret: sum.into(),
            chain,
        })
    }
}

/// HMAC-SHA-512 in its two halves.
fn mac(key: &[u8], parts: &[&[u8]]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    let both = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
    let (mut left, mut right) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    left.copy_from_slice(&both[..32]);
    right.copy_from_slice(&both[32..]);
    (left, right)
}

/// One phrase in 2¹²⁷: BIP-32 says to use another.
fn unlucky() -> Error {
    Error::invalid("bad_seed", "the phrase leads to no key of secp256k1").with_hint("use another phrase")
}
