//! Whether an address signed.

use ed25519_dalek::VerifyingKey;
use k256::ecdsa::RecoveryId;
use sha3::{Digest as _, Keccak256};

use super::{Scheme, Signature, address};
use crate::{Error, ErrorKind, NodeId};

/// What sr25519 signs in, as all of Substrate does.
pub(super) const SR25519_CONTEXT: &[u8] = b"substrate";

/// Whether `signer` made `signature` of `message`, with `scheme` and no other.
///
/// A key has one address: of secp256k1 that is EIP-55's mixed case, and no other case of it.
///
/// # Errors
/// `malformed_address` where the address is none of that scheme, `bad_signature` where the signature is another's, of
/// something else, or malleated.
pub fn verify(scheme: Scheme, signer: &NodeId, message: &[u8], signature: &Signature) -> Result<(), Error> {
    let good = match scheme {
        Scheme::Sr25519 => sr25519(signer, message, signature)?,
        Scheme::Ed25519 => ed25519(signer, message, signature)?,
        Scheme::Secp256k1 => secp256k1(signer, message, signature)?,
    };
    if good {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unauthenticated,
        "bad_signature",
        format!("the {scheme} signature is not of {signer}, or not over this message"),
    ))
}

/// Whether `address` can be the one of a key of `scheme`, spelled as [`verify`] wants it.
///
/// # Errors
/// `malformed_address`, whose hint says the right spelling of one of secp256k1 in another case.
pub fn check_address(scheme: Scheme, address: &NodeId) -> Result<(), Error> {
    match scheme {
        Scheme::Sr25519 | Scheme::Ed25519 => address::from_ss58(address.as_str()).map(|_| ()),
        Scheme::Secp256k1 => address::check_evm(address.as_str()),
    }
}

fn sr25519(signer: &NodeId, message: &[u8], signature: &Signature) -> Result<bool, Error> {
    let key = address::from_ss58(signer.as_str())?;
    let (Ok(key), Ok(signature)) = (
        schnorrkel::PublicKey::from_bytes(&key),
        schnorrkel::Signature::from_bytes(signature.as_bytes()),
    ) else {
        return Ok(false);
    };
    Ok(key.verify_simple(SR25519_CONTEXT, message, &signature).is_ok())
}

fn ed25519(signer: &NodeId, message: &[u8], signature: &Signature) -> Result<bool, Error> {
    let key = address::from_ss58(signer.as_str())?;
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(&key),
        ed25519_dalek::Signature::from_slice(signature.as_bytes()),
    ) else {
        return Ok(false);
    };
    Ok(key.verify_strict(message, &signature).is_ok())
}

fn secp256k1(signer: &NodeId, message: &[u8], signature: &Signature) -> Result<bool, Error> {
    address::check_evm(signer.as_str())?;
    let Some((recovery, rs)) = signature.as_bytes().split_last().filter(|(_, rs)| rs.len() == 64) else {
        return Ok(false);
    };
    // Wallets write 27 and 28, libraries 0 and 1.
    let recovery = RecoveryId::from_byte(recovery.checked_sub(27).unwrap_or(*recovery));
    let (Some(recovery), Ok(rs)) = (recovery, k256::ecdsa::Signature::from_slice(rs)) else {
        return Ok(false);
    };
    // Of the two forms of a signature the chain takes one, and so do we: else whoever sees one has another.
    if rs.normalize_s() != rs {
        return Ok(false);
    }
    let recovered = k256::ecdsa::VerifyingKey::recover_from_prehash(&eip191(message), &rs, recovery);
    Ok(recovered.is_ok_and(|key| evm_of(&key) == *signer))
}

/// The address of a secp256k1 key.
pub(super) fn evm_of(key: &k256::ecdsa::VerifyingKey) -> NodeId {
    let point = key.to_sec1_point(false);
    address::evm(&point.as_bytes()[1..])
}

/// What EVM wallets hash: a prefix, the length, the message (EIP-191, version 0x45).
pub(super) fn eip191(message: &[u8]) -> [u8; 32] {
    Keccak256::new()
        .chain_update(b"\x19Ethereum Signed Message:\n")
        .chain_update(message.len().to_string())
        .chain_update(message)
        .finalize()
        .into()
}
