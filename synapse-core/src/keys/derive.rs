//! From a phrase's seed down a path: Substrate's `//hard/soft`.

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use schnorrkel::{
    ExpansionMode, MiniSecretKey,
    derive::{ChainCode, Derivation as _},
};
use zeroize::Zeroizing;

use super::Scheme;
use crate::Error;

/// How a mini secret becomes a key, as Substrate does.
pub(super) const EXPANSION: ExpansionMode = ExpansionMode::Ed25519;
/// The seed of Substrate's development phrase, `bottom drive obey lake curtain smoke basket hold race lonely fit walk`.
const DEVELOPMENT: [u8; 32] = [
    0xfa, 0xc7, 0x95, 0x9d, 0xbf, 0xe7, 0x2f, 0x05, 0x2e, 0x5a, 0x0c, 0x3c, 0x8d, 0x65, 0x30, 0xf2, 0x02,
    0xb0, 0x2f, 0xd8, 0xf9, 0xf5, 0xca, 0x35, 0x80, 0xec, 0x8d, 0xeb, 0x77, 0x97, 0x47, 0x9e,
];

/// Where a path led.
pub(super) enum Seed {
    Sr25519(Box<schnorrkel::Keypair>),
    Bytes(Zeroizing<[u8; 32]>),
}

/// One step of a path.
struct Junction {
    hard: bool,
    code: [u8; 32],
}

pub(super) fn mini_secret(seed: &[u8; 32]) -> MiniSecretKey {
    MiniSecretKey::from_bytes(seed).expect("any 32 bytes are a mini secret")
}

pub(super) fn from_uri(scheme: Scheme, uri: &str) -> Result<Seed, Error> {
    let junctions = path(uri)?;
    match scheme {
        Scheme::Sr25519 => {
            let mut pair = mini_secret(&DEVELOPMENT).expand_to_keypair(EXPANSION);
            for Junction { hard, code } in junctions {
                pair = match hard {
                    true => pair
                        .secret
                        .hard_derive_mini_secret_key(Some(ChainCode(code)), b"")
                        .0
                        .expand_to_keypair(EXPANSION),
                    false => pair.derived_key_simple(ChainCode(code), b"").0,
                };
            }
            Ok(Seed::Sr25519(Box::new(pair)))
        }
        Scheme::Ed25519 => {
            let mut seed = Zeroizing::new(DEVELOPMENT);
            for Junction { hard, code } in junctions {
                if !hard {
                    return Err(bad(uri, "has a soft step, which ed25519 does not know"));
                }
                // SCALE of ("Ed25519HDKD", seed, code): the text's length times four, then all of it.
                let hash = Blake2b::<U32>::new()
                    .chain_update([11 << 2])
                    .chain_update(b"Ed25519HDKD")
                    .chain_update(*seed)
                    .chain_update(code)
                    .finalize();
                seed.copy_from_slice(&hash);
            }
            Ok(Seed::Bytes(seed))
        }
        Scheme::Secp256k1 => Err(Error::unsupported(
            "unsupported_scheme",
            "development keys are sr25519 or ed25519",
        )),
    }
}

fn path(uri: &str) -> Result<Vec<Junction>, Error> {
    if !uri.starts_with('/') || uri.len() > 256 {
        return Err(bad(uri, "is no path such as //Alice"));
    }
    let mut junctions = Vec::new();
    let mut rest = uri;
    while let Some(after) = rest.strip_prefix('/') {
        let (hard, after) = match after.strip_prefix('/') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let end = after.find('/').unwrap_or(after.len());
        let name = &after[..end];
        if name.is_empty() {
            return Err(bad(uri, "has a step without a name"));
        }
        junctions.push(Junction {
            hard,
            code: chain_code(name),
        });
        rest = &after[end..];
    }
    Ok(junctions)
}

/// What a step's name stands for: SCALE of the number or the text, hashed where it is longer than 32 bytes.
fn chain_code(name: &str) -> [u8; 32] {
    let encoded = match name.parse::<u64>() {
        Ok(number) => number.to_le_bytes().to_vec(),
        Err(_) => {
            let length = u16::try_from(name.len()).expect("a path has at most 256 bytes") << 2;
            let mut encoded = match name.len() {
                0..64 => vec![length.to_le_bytes()[0]],
                _ => (length | 1).to_le_bytes().to_vec(),
            };
            encoded.extend_from_slice(name.as_bytes());
            encoded
        }
    };
    let mut code = [0; 32];
    if encoded.len() > code.len() {
        code.copy_from_slice(&Blake2b::<U32>::digest(&encoded));
    } else {
        code[..encoded.len()].copy_from_slice(&encoded);
    }
    code
}

fn bad(uri: &str, why: &str) -> Error {
    let shown: String = uri.chars().take(64).collect();
    Error::invalid("bad_uri", format!("the key path {shown:?} {why}"))
}
