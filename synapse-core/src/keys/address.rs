//! Addresses: SS58 of a public key, EIP-55 of a public key's hash.

use blake2::{Blake2b512, Digest as _};
use sha3::Keccak256;

use crate::{Error, NodeId};

/// The generic Substrate prefix, which Bittensor uses too.
const SS58_PREFIX: u8 = 42;

/// The SS58 address of 32 bytes: base58 of prefix, key, and two bytes of blake2b-512 over `SS58PRE` and both.
pub(super) fn ss58(key: &[u8; 32]) -> NodeId {
    let mut bytes = [0; 35];
    bytes[0] = SS58_PREFIX;
    bytes[1..33].copy_from_slice(key);
    let sum = checksum(&bytes[..33]);
    bytes[33..].copy_from_slice(&sum);
    bs58::encode(bytes).into_string().into()
}

/// The key that an SS58 address with the prefix 42 stands for.
pub(super) fn from_ss58(address: &str) -> Result<[u8; 32], Error> {
    let fault = |why: &str| {
        let shown: String = address.chars().take(64).collect();
        Error::invalid("malformed_address", format!("{shown:?} {why}"))
            .with_hint("write an SS58 address with the prefix 42: 48 characters, the first of them a 5")
    };
    if address.len() > 64 {
        return Err(fault("is too long for an SS58 address"));
    }
    let bytes = bs58::decode(address)
        .into_vec()
        .map_err(|_| fault("is not base58"))?;
    let bytes: [u8; 35] = bytes
        .try_into()
        .map_err(|_| fault("has not the length of an SS58 address"))?;
    if bytes[0] != SS58_PREFIX {
        return Err(fault("has the prefix of another network"));
    }
    if checksum(&bytes[..33]) != bytes[33..] {
        return Err(fault("has a wrong checksum"));
    }
    let mut key = [0; 32];
    key.copy_from_slice(&bytes[1..33]);
    Ok(key)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let hash = Blake2b512::new()
        .chain_update(b"SS58PRE")
        .chain_update(bytes)
        .finalize();
    [hash[0], hash[1]]
}

/// The EVM address of an uncompressed secp256k1 point (64 bytes, without its tag), in EIP-55's mixed case.
pub(super) fn evm(point: &[u8]) -> NodeId {
    let hash = Keccak256::digest(point);
    let lower = to_hex(&hash[12..]);
    let case = Keccak256::digest(lower.as_bytes());
    let mixed: String = lower
        .chars()
        .enumerate()
        .map(|(at, digit)| {
            let nibble = (case[at / 2] >> (4 * (1 - at % 2))) & 0xf;
            if nibble >= 8 {
                digit.to_ascii_uppercase()
            } else {
                digit
            }
        })
        .collect();
    format!("0x{mixed}").into()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)]))
        .collect()
}

pub(super) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
        .collect()
}
