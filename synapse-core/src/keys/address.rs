//! Addresses: SS58 of a public key, EIP-55 of a public key's hash.

use blake2::{Blake2b512, Digest as _};
use sha3::Keccak256;

use super::hex;
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
    format!("0x{}", eip55(&hex::encode(&hash[12..]))).into()
}

/// Forty lower-case digits with EIP-55's checksum in their case.
fn eip55(lower: &str) -> String {
    let case = Keccak256::digest(lower.as_bytes());
    lower
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
        .collect()
}

/// Whether this is an EVM address in EIP-55's case. In another it would name the same key, and be another node.
pub(super) fn check_evm(address: &str) -> Result<(), Error> {
    let fault = |why: &str| {
        let shown: String = address.chars().take(64).collect();
        Error::invalid("malformed_address", format!("{shown:?} {why}"))
    };
    let digits = address
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 40 && hex::decode(digits).is_some())
        .ok_or_else(|| {
            fault("is no EVM address")
                .with_hint("write an EVM address: 0x and 40 hex digits, in EIP-55's case")
        })?;
    let lower = digits.to_ascii_lowercase();
    let right = eip55(&lower);
    if digits == right {
        return Ok(());
    }
    // In one case it had no checksum; in mixed case it had one, which says that a digit is wrong.
    if digits == lower || digits == digits.to_ascii_uppercase() {
        return Err(fault("is not in EIP-55's case").with_hint(format!("write 0x{right}")));
    }
    Err(fault("has a wrong checksum")
        .with_hint("copy the address again: a digit or a letter's case is wrong"))
}
